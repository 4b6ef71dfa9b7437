// What the host says of itself: its inventory when it changed, and a heartbeat that it lives and which VMs run.
import { hostInventory, type HostInventory, type VmState } from "../../worker/model/wire/inventory.ts";
import { ApiError, type Api } from "./api.ts";
import type { Channel } from "./channel.ts";
import type { Settings } from "./config.ts";
import type { Driver } from "./driver.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { isStopped, permitsIn, permitsOut, type PolicyState } from "./policy.ts";

/** A clock further off than this makes commands look expired, or old ones fresh. */
const SKEW_MS_MAX = 20_000;
const RAISES_MAX = 8;
/**
 * A host is looked at as a whole once in so many heartbeats, and whenever its VMs, their states or what may be done here have
 * changed: to ask a hypervisor for everything costs many times what its VMs' states cost.
 */
const BEATS_A_LOOK = 4;

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

type States = Record<string, VmState>;
/** When Drover last took a heartbeat, ms since 1970 (null: never), and why the newest was not taken (null: it was). */
type Beat = { takenAt: number | null; error: string | null };

export type Presence = {
  run: () => void;
  /** Says it at once, all of it; asked for again meanwhile, once more after that. */
  refresh: () => void;
  last: () => Beat;
  /** Run states of the VMs as they were told last, or asked for anew where that is longer ago than a heartbeat. */
  recentStates: () => Promise<States>;
};

export function createPresence(parts: PresenceParts): Presence {
  const { settings, life, log } = parts;
  const inventory = createInventory(parts);
  const { ask, recent } = createStates(parts);
  let busy = false;
  let again = false;
  let last: Beat = { takenAt: null, error: null };

  const say = async (whole: boolean): Promise<void> => {
    // The inventory goes out also where this fails: the host is known then, though it is not heard.
    const states = await ask().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    const lookedAnew = await inventory(states instanceof Error ? null : states, whole);
    try {
      if (states instanceof Error) throw states;
      // A heartbeat tells of now, and an inventory may take its time.
      const takenAt = await beat(parts, lookedAnew ? await ask() : states);
      last = { takenAt, error: null };
    } catch (error) {
      // Without the states of its VMs the host says nothing: unknown is not idle.
      last = { ...last, error: messageOf(error) };
      log("warn", "no heartbeat", { error: messageOf(error) });
    }
  };
  const once = async (whole: boolean): Promise<void> => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      for (let isWhole = whole; again; isWhole = true) {
        again = false;
        await say(isWhole);
      }
    } finally {
      busy = false;
    }
  };
  return {
    run: () =>
      life.spawn("heartbeat", async () => {
        for (let turn = 0; !life.isStopping(); turn++) {
          await once(turn % BEATS_A_LOOK === 0);
          await life.sleep(settings.heartbeatMs);
        }
      }),
    refresh: () => life.spawn("heartbeat", () => once(true)),
    last: () => last,
    recentStates: recent,
  };
}

/** `recent`: what was answered last, where that is no longer ago than a heartbeat. */
function createStates({ driver, settings, now }: PresenceParts): {
  ask: () => Promise<States>;
  recent: () => Promise<States>;
} {
  let known: { states: States; atMs: number } | null = null;
  const ask = async (): Promise<States> => {
    const states = await driver.vmStates();
    known = { states, atMs: now() };
    return states;
  };
  return {
    ask,
    recent: async () => (known !== null && Math.abs(now() - known.atMs) <= settings.heartbeatMs ? known.states : ask()),
  };
}

/** Returns when it was taken, on this host's clock. */
async function beat({ api, channel, log, now, bootId, onCommands }: PresenceParts, vms: States): Promise<number> {
  const body = { bootId, at: now(), vms };
  const answer = (await channel.heartbeat(body)) ?? (await api.heartbeat(body));
  const skewMs = answer.now === undefined ? 0 : now() - answer.now;
  if (Math.abs(skewMs) > SKEW_MS_MAX)
    log("warn", "this host's clock differs from Drover's; set it, or commands expire early or late", { skewMs });
  onCommands(answer.commands);
  return now();
}

/**
 * Sends the inventory if it differs from what Drover last took, looking at the host only where that may be: `whole`, or when
 * states or policy have changed since. Resolves true when it took the time to look.
 */
function createInventory(parts: PresenceParts): (states: States | null, whole: boolean) => Promise<boolean> {
  const { settings, driver, api, channel, log, bootId, now } = parts;
  let taken = "";
  let seen = "";
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
  return async (states, whole) => {
    const local = parts.policy();
    const open = !isStopped(settings.stopFile);
    const policy = { in: open && permitsIn(local), out: open && permitsOut(local) };
    const look = JSON.stringify([states, policy]);
    if (!whole && look === seen) return false;
    try {
      const content = { ...(await driver.inventory()), cluster: settings.cluster, bootId, policy };
      const text = JSON.stringify(content);
      if (text !== taken) {
        await put(content);
        taken = text;
        // Drover knows the host now, and takes its channel.
        channel.run();
      }
      seen = look;
    } catch (error) {
      seen = "";
      log("warn", "the inventory was not taken", { error: messageOf(error) });
    }
    return true;
  };
}
