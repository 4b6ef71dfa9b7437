// The chat platforms there are.
import type { PlatformName } from "../../model/chat/inbound.ts";
import { discord, type DiscordSettings } from "./discord.ts";
import type { ChatPlatform } from "./platform.ts";
import { slack, type SlackSettings } from "./slack.ts";

export type { ChatPlatform } from "./platform.ts";

export const chatPlatforms = (settings: {
  slack: SlackSettings;
  discord: DiscordSettings;
}): Record<PlatformName, ChatPlatform> => ({
  slack: slack(settings.slack),
  discord: discord(settings.discord),
});
