// What is done around a move: the destination is asked beforehand, what is in the guest is made quiet, and its address is
// looked for afterwards.
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { MIB } from "../../../../worker/model/units.ts";
import type { AgentConfig } from "../../../agent/config.ts";
import { arrived, type FaultCase } from "../case.ts";
import { guestOf, onlyRun, otherSite, outcome, setOut, until, type Moving, type Play } from "../play.ts";
import type { Site } from "../site.ts";

const QUICK = { mechanisms: ["pre-copy" as const], bandwidthBytesPerSecondMax: 64 * MIB };
const EVENTS_MS_MAX = 20_000;

/** A hook that refuses while a file says so. */
function writeHook(site: Site, refusal: string): string {
  const file = path.join(site.folder, "hook.sh");
  writeFileSync(file, `#!/bin/sh\n[ "$DROVER_HOOK" = before ] && [ -e ${refusal} ] && exit 1\nexit 0\n`);
  chmodSync(file, 0o755);
  return file;
}

/** Gives the agent more to its configuration, and starts it anew with that. Returns what undoes it. */
async function reconfigure({ folder, agent }: Site, more: Partial<AgentConfig>): Promise<() => Promise<void>> {
  const file = path.join(folder, "agent.json");
  const before = readFileSync(file, "utf8");
  const restart = async (content: string): Promise<void> => {
    await agent.kill();
    writeFileSync(file, content, { mode: 0o600 });
    await agent.start();
  };
  await restart(JSON.stringify({ ...(JSON.parse(before) as object), ...more }));
  return () => restart(before);
}

/** A listener that stands where a guest with a network would answer: the lab's guests have none. */
async function openAddress(): Promise<{ port: number; close: () => void }> {
  const server = createServer((socket) => socket.on("error", () => undefined).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

/** What the timeline has of hooks and of the network, once the last of it is there. */
async function around(play: Play, moving: Moving): Promise<string> {
  const { migrationId } = await onlyRun(play, moving);
  return until(
    play,
    EVENTS_MS_MAX,
    () => "the timeline has no word of the address, or of the hook after the move",
    async () => {
      const events = (await play.edge.api.timeline(migrationId)).map(({ type, body }) => ({
        type,
        ...(body as { when?: string; ok?: boolean; how?: string; answered?: boolean }),
      }));
      const of = (when: string) => events.find((event) => event.type === "hook" && event.when === when);
      const [before, after] = [of("before"), of("after")];
      const announced = events.find(({ type }) => type === "announced");
      const address = events.find(({ type }) => type === "address-checked");
      if (after === undefined || announced === undefined || address === undefined) return null;
      const words = (ok: boolean | undefined) => (ok ? "well" : "badly");
      return `hooks ${words(before?.ok)} before and ${words(after.ok)} after, announced: ${announced.how}, address ${address.answered ? "answers" : "is silent"}`;
    },
  );
}

async function quietedAndFound(play: Play): Promise<string> {
  const { lane, edge } = play;
  const guest = guestOf(lane);
  const refusal = path.join(guest.site.folder, "refuse");
  const address = await openAddress();
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const site of lane.sites) {
      const program = writeHook(site, refusal);
      const hooks = [{ name: "quiet", vms: [guest.uuid], before: [program, "{uuid}"], after: [program, "{uuid}"] }];
      const check = { vms: [guest.uuid], check: "tcp" as const, address: "127.0.0.1", port: address.port };
      undo.push(await reconfigure(site, { hooks, addressChecks: [check] }));
    }
    const to = otherSite(lane, guest.site).hostId;
    const { ok, checks, link } = await edge.api.preflight(guest.uuid, to);
    const asked = `preflight ${ok ? "ok" : "against it"} by ${checks.length} looks, link ${link === null ? "unknown" : "measured"}`;
    writeFileSync(refusal, "");
    const refused = await outcome(play, await setOut(play, [guest], QUICK));
    rmSync(refusal);
    const moving = await setOut(play, [guest], QUICK);
    return `${asked}; ${refused}; ${await outcome(play, moving)}; ${await around(play, moving)}`;
  } finally {
    address.close();
    for (const each of undo) await each();
  }
}

export const aroundCases: FaultCase[] = [
  {
    name: "around",
    lane: "rough",
    what: "asked beforehand with a probe of the link; refused by a hook; then moved, with hooks, announced and looked for",
    expected: `preflight ok by 12 looks, link measured; pre-copy failed (hook), guest at source, unbroken; ${arrived("pre-copy")}; hooks well before and well after, announced: sent, address answers`,
    run: quietedAndFound,
  },
];
