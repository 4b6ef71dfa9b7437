// What the host says of itself: its inventory when it changed, and a heartbeat that it lives and which VMs run.
import { existsSync } from "node:fs";
import { hostInventory, type HostInventory } from "../../worker/model/wire/inventory.ts";
import { ApiError, type Api } from "./api.ts";
import type { Channel } from "./channel.ts";
import type { Settings } from "./config.ts";
import type { Driver } from "./driver.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { permitsIn, permitsOut, type PolicyState } from "./policy.ts";

/** A clock further off than this makes commands look expired, or old ones fresh. */
const SKEW_MS_MAX = 20_000;
const RAISES_MAX = 8;

type PresenceParts = {
  settings: Settings;
  driver: Driver;
  api: Api;
  channel: Channel;
  life: Life;
  log: Log;
  now: () => number;
  bootId: string;
  policy: () => PolicyState;
  onCommands: (commands: readonly unknown[]) => void;
};

export type Presence = {
  run: () => void;
  /** Says it at once; asked for again meanwhile, once more after that. */
  refresh: () => void;
};

export function createPresence(parts: PresenceParts): Presence {
  const { settings, life } = parts;
  const inventory = createInventory(parts);
  let busy = false;
  let again = false;

  const once = async (): Promise<void> => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await inventory();
        await beat(parts);
      }
    } finally {
      busy = false;
    }
  };
  return {
    run: () =>
      life.spawn("heartbeat", async () => {
        while (!life.isStopping()) {
          await once();
          await life.sleep(settings.heartbeatMs);
        }
      }),
    refresh: () => life.spawn("heartbeat", once),
  };
}

async function beat({ driver, api, channel, log, now, bootId, onCommands }: PresenceParts): Promise<void> {
  try {
    const vms = await driver.vmStates();
    const body = { bootId, at: now(), vms };
    const answer = (await channel.heartbeat(body)) ?? (await api.heartbeat(body));
    const skewMs = answer.now === undefined ? 0 : now() - answer.now;
    if (Math.abs(skewMs) > SKEW_MS_MAX)
      log("warn", "this host's clock differs from Drover's; set it, or commands expire early or late", { skewMs });
    onCommands(answer.commands);
  } catch (error) {
    // Without the states of its VMs the host says nothing: unknown is not idle.
    log("warn", "no heartbeat", { error: messageOf(error) });
  }
}

/** Sends the inventory if it differs from what Drover last took. */
function createInventory(parts: PresenceParts): () => Promise<void> {
  const { settings, driver, api, channel, log, bootId, now } = parts;
  let taken = "";
  let sequence = now();

  const put = async (content: Omit<HostInventory, "sequence">): Promise<void> => {
    for (let raise = 1; ; raise *= 10) {
      try {
        sequence += raise;
        const answer = await api.putInventory(hostInventory.parse({ ...content, sequence }));
        return parts.onCommands(answer.commands);
      } catch (error) {
        const isOlder = error instanceof ApiError && error.status === 409 && error.type === "older-sequence";
        if (!isOlder || raise >= 10 ** RAISES_MAX) throw error;
      }
    }
  };
  return async () => {
    try {
      const policy = parts.policy();
      const open = !existsSync(settings.stopFile);
      const content = {
        ...(await driver.inventory()),
        cluster: settings.cluster,
        bootId,
        policy: { in: open && permitsIn(policy), out: open && permitsOut(policy) },
      };
      const text = JSON.stringify(content);
      if (text === taken) return;
      await put(content);
      taken = text;
      // Drover knows the host now, and takes its channel.
      channel.run();
    } catch (error) {
      log("warn", "the inventory was not taken", { error: messageOf(error) });
    }
  };
}
