// One receiver and one chat platform for all tests of a project; they get their addresses by `inject`.
import type { TestProject } from "vitest/node";
import { startChatPlatform } from "./chat-platform.ts";
import { startReceiver } from "./receiver.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const receiver = await startReceiver();
  const chat = await startChatPlatform(Number(process.env["CHAT_PLATFORM_PORT"]));
  project.provide("receiverUrl", receiver.url);
  project.provide("chatUrl", chat.url);
  return async () => {
    await receiver.close();
    await chat.close();
  };
}

declare module "vitest" {
  interface ProvidedContext {
    receiverUrl: string;
    chatUrl: string;
  }
}
