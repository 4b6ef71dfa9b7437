// What an agent does about a migration that copies: by itself, by directive, and when a post-copy has lost its link.
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DriverError } from "../../scripts/agent/driver.ts";
import { recoveryDelayMs } from "../../scripts/agent/recovery.ts";
import type { Directive, RecoverCommand, StartCommand, SteerCommand } from "../../worker/model/wire/command.ts";
import type { MigrationEvent } from "../../worker/model/wire/event.ts";
import { createBench, prepareCommand, startCommand, VM, vmInventory, type Bench, type Host } from "./builders.ts";
import { progress } from "./scripted-driver.ts";

vi.setConfig({ testTimeout: 20_000 });

let bench: Bench;
let source: Host;
let target: Host;
beforeEach(async () => {
  bench = await createBench();
  source = bench.host("hv-a", [vmInventory()]);
  target = bench.host("hv-b");
});
afterEach(() => bench.close());

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 10 });
const events = (hostId: string) => bench.edge.events("m1").filter((event) => event.hostId === hostId);
const told = (hostId: string) => events(hostId).filter(({ type }) => type !== "progress");
const types = (hostId: string) => told(hostId).map(({ type }) => type);
const steered = (): Extract<MigrationEvent, { type: "steered" }>[] =>
  events("hv-a").filter((event) => event.type === "steered");

async function begin(changes: Partial<StartCommand> = {}): Promise<void> {
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand())]);
  const { peerUrl } = await target.start();
  await eventually(() => expect(types("hv-b")).toContain("prepared"));
  const destination = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ destination, ...changes }))]);
  await source.start();
  await eventually(() => expect(types("hv-a")).toContain("accepted"));
  bench.edge.commands.clear();
}

let commands = 0;
const head = (id: string) => ({
  id,
  migrationId: "m1",
  hostId: "hv-a",
  issuedAt: Date.now(),
  expiresAt: Date.now() + 60_000,
  fencingToken: 7,
  vmUuid: VM,
  reason: "the night is short",
});
function directive(number: number, of: Directive, changes: Partial<SteerCommand> = {}): SteerCommand {
  return { type: "migration.steer", ...head(`d${number}-${++commands}`), number, directive: of, ...changes };
}
const recoverCommand = (): RecoverCommand => ({ type: "migration.recover", ...head(`r-${++commands}`) });
/** As the answer to a heartbeat; gone once it is answered. */
async function send(command: SteerCommand | RecoverCommand): Promise<MigrationEvent> {
  bench.edge.commands.set("hv-a", [bench.signer.seal(command)]);
  const answer = () => events("hv-a").find((event) => event.commandId === command.id);
  await eventually(() => expect(answer()).toBeDefined());
  bench.edge.commands.delete("hv-a");
  return answer() as MigrationEvent;
}
/** An iteration that begins at that second, with so many megabytes pending at 100 MB/s. */
function look(iteration: number, second: number, pendingMb: number, changes = {}): void {
  source.script.goTo({
    state: "active",
    progress: progress({
      iteration,
      remainingBytes: pendingMb * 1e6,
      throughputBytesPerSecond: 1e8,
      elapsedMs: second * 1000,
      ...changes,
    }),
  });
}

describe("by itself", () => {
  test("raises bandwidth where that lets it converge, tells why, and goes on from there after a restart", async () => {
    await begin();
    look(3, 10, 400, { dirtyBytesPerSecond: 9e7 });
    await eventually(() => expect(source.script.calls).toContain(`setBandwidth ${VM} 180000000`));
    await eventually(() => expect(steered()).toHaveLength(1));
    expect(steered()[0]).toMatchObject({ what: "max-bandwidth", from: 1e8, to: 1.8e8, by: "agent" });
    expect(steered()[0]?.why).toMatch(/dirtied a second/);
    source.agent?.kill();
    await source.start();
    const calls = source.script.calls.length;
    const before = events("hv-a").length;
    await eventually(() => expect(events("hv-a").length).toBeGreaterThan(before));
    expect(source.script.calls.slice(calls)).toEqual([]);
    // Its figures are not those of the parameters that were predicted for.
    target.script.incoming = { state: "loaded" };
    source.script.vms.set(VM, vmInventory({ state: "postmigrate" }));
    const stopped = { postCopy: false, stoppedAtMs: Date.now(), progress: progress() };
    source.script.goTo({ state: "completed", ...stopped, completedAtMs: Date.now(), counters: {} });
    await eventually(() =>
      expect(told("hv-a").at(-1)).toMatchObject({ type: "completed", outcome: { steered: true } }),
    );
  });

  test("cut off from Drover it ends a migration that will not converge, and tells afterwards what it did", async () => {
    await begin({ parameters: { ...startCommand().parameters, deadlineMs: 2500 } });
    bench.edge.down = true;
    look(2, 1, 90);
    await eventually(() => expect(source.script.calls).toContain(`cancelOutgoing ${VM}`));
    bench.edge.down = false;
    await eventually(() => expect(types("hv-a").at(-1)).toBe("cancelled"));
    // 90 MB take 900 ms, of 1000 ms approved: first that is tried, then the deadline.
    expect(steered()).toMatchObject([
      { what: "downtime-limit", from: 300, to: 936, by: "agent" },
      { what: "cancel", by: "agent" },
    ]);
    expect(told("hv-a").at(-1)).toMatchObject({ reason: "deadline", vmState: "running" });
  });

  test("never over the ceilings of its local policy, whatever was approved", async () => {
    writeFileSync(source.policyFile, JSON.stringify({ mode: "out", bandwidthBytesPerSecondMax: 1.2e8 }));
    await begin();
    look(3, 10, 400, { dirtyBytesPerSecond: 9e7 });
    await eventually(() => expect(source.script.calls).toContain(`setBandwidth ${VM} 120000000`));
  });
});

describe("a directive", () => {
  test("within the limits is done, told as its answer, and answered the same when it comes again", async () => {
    await begin();
    const command = directive(1, { set: "downtime", downtimeLimitMs: 700 });
    expect(await send(command)).toMatchObject({
      type: "steered",
      what: "downtime-limit",
      from: 300,
      to: 700,
      by: "command",
      why: "the night is short",
    });
    const answers = () => bench.edge.received.filter(({ body }) => (body as MigrationEvent)?.commandId === command.id);
    const count = answers().length;
    bench.edge.commands.set("hv-a", [bench.signer.seal(command)]);
    await eventually(() => expect(answers().length).toBeGreaterThan(count));
    expect(source.script.calls.filter((call) => call.startsWith("setDowntimeLimit"))).toEqual([
      `setDowntimeLimit ${VM} 700`,
    ]);
  });

  test("comes with the answer to a progress event as well as any other way", async () => {
    await begin();
    const command = directive(1, { set: "bandwidth", bytesPerSecond: 5e8 });
    bench.edge.answer = ({ path, body }) => {
      const isProgress = path.endsWith("/events") && (body as MigrationEvent).type === "progress";
      return isProgress ? { status: 200, body: { commands: [bench.signer.seal(command)] } } : null;
    };
    await eventually(() => expect(source.script.calls).toContain(`setBandwidth ${VM} 500000000`));
  });

  test.each<[string, Directive, Partial<SteerCommand>, string]>([
    ["over the approved downtime", { set: "downtime", downtimeLimitMs: 1001 }, {}, "limits"],
    ["over the approved bandwidth", { set: "bandwidth", bytesPerSecond: 1e10 }, {}, "limits"],
    ["post-copy that was not approved", { set: "start-post-copy" }, {}, "limits"],
    ["over the local policy", { set: "bandwidth", bytesPerSecond: 9e8 }, {}, "policy"],
    ["past its time", { set: "downtime", downtimeLimitMs: 400 }, { expiresAt: Date.now() - 1 }, "expired"],
    ["of another token", { set: "downtime", downtimeLimitMs: 400 }, { fencingToken: 6 }, "stale-token"],
  ])("%s is refused and changes nothing", async (_, of, changes, reason) => {
    writeFileSync(source.policyFile, JSON.stringify({ mode: "out", bandwidthBytesPerSecondMax: 8e8 }));
    await begin();
    const calls = source.script.calls.length;
    expect(await send(directive(1, of, changes))).toMatchObject({ type: "refused", reason });
    expect(source.script.calls.slice(calls)).toEqual([]);
    expect(steered()).toEqual([]);
  });

  test("that comes after a later one changes nothing, over a restart too", async () => {
    await begin();
    await send(directive(5, { set: "downtime", downtimeLimitMs: 700 }));
    source.agent?.kill();
    await source.start();
    const late = directive(4, { set: "downtime", downtimeLimitMs: 400 });
    expect(await send(late)).toMatchObject({ type: "refused", reason: "superseded" });
    expect(await send(directive(6, { set: "downtime", downtimeLimitMs: 500 }))).toMatchObject({ from: 700, to: 500 });
  });

  test("to cancel ends it with the directive's own id; one for the point of no return is refused", async () => {
    await begin();
    const cancelled = await send(directive(1, { set: "cancel" }));
    expect(cancelled).toMatchObject({ type: "cancelled", reason: "command", vmState: "running" });
  });

  test.each<Directive>([{ set: "downtime", downtimeLimitMs: 400 }, { set: "cancel" }])(
    "past the point of no return is refused: %j",
    async (of) => {
      await begin();
      target.script.incoming = { state: "loaded" };
      source.script.vms.set(VM, vmInventory({ state: "postmigrate" }));
      source.script.goTo({ state: "stopped", postCopy: false, stoppedAtMs: Date.now(), progress: progress() });
      await eventually(() => expect(types("hv-a")).toContain("switched"));
      expect(await send(directive(1, of))).toMatchObject({ type: "refused", reason: "point-of-no-return" });
    },
  );
});

describe("a post-copy that has lost its link", () => {
  const permitted = { ...startCommand().limits, postCopyPermitted: true };
  const inPostCopy = { postCopy: true, stoppedAtMs: 1, progress: progress({ phase: "post-copy" }) };
  async function lose(): Promise<void> {
    await begin({ mechanism: "post-copy", limits: permitted });
    target.script.incoming = { state: "loaded" };
    source.script.vms.set(VM, vmInventory({ state: "postmigrate" }));
    source.script.goTo({ state: "stopped", ...inPostCopy });
    await eventually(() => expect(types("hv-b")).toContain("switched"));
    source.script.goTo({ state: "paused", detail: "the link is down", progress: progress({ phase: "post-copy" }) });
  }

  test("goes on by itself once the destination listens anew and the source is let connect", async () => {
    let attempts = 0;
    source.script.on.recoverOutgoing = () => {
      if (++attempts < 3) throw new DriverError("no-route", "not yet");
      source.script.goTo({ state: "stopped", ...inPostCopy });
    };
    await lose();
    await eventually(() => expect(types("hv-a")).toContain("resumed"));
    expect(types("hv-a")).toEqual(["accepted", "switched", "paused", "resumed"]);
    expect(target.script.calls.filter((call) => call === `recoverIncoming ${VM}`)).toHaveLength(3);
    expect(source.script.calls.filter((call) => call.startsWith("recoverOutgoing"))).toEqual(
      Array.from({ length: 3 }, () => `recoverOutgoing ${VM} tcp:127.0.0.1:4445`),
    );
  });

  test("says meanwhile that it waits, is neither cancelled nor steered, and is tried at once on demand", async () => {
    source.script.on.recoverOutgoing = () => {
      throw new DriverError("no-route", "not yet");
    };
    await lose();
    await eventually(() => expect(types("hv-a")).toContain("paused"));
    await eventually(() =>
      expect(events("hv-a").findLast(({ type }) => type === "progress")).toMatchObject({ paused: true }),
    );
    expect(await send(directive(1, { set: "cancel" }))).toMatchObject({ reason: "point-of-no-return" });
    const demanded = await send(recoverCommand());
    expect(demanded).toMatchObject({ type: "steered", what: "recover", by: "command" });
    const calls = () => source.script.calls.filter((call) => call.startsWith("recoverOutgoing")).length;
    const before = calls();
    await eventually(() => expect(calls()).toBeGreaterThan(before));
  });

  test("waits longer after each failure, half a minute at most", () => {
    const delays = Array.from({ length: 12 }, (_, failures) => recoveryDelayMs(failures));
    expect(delays.slice(0, 3)).toEqual([500, 1000, 2000]);
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(Math.max(...delays, recoveryDelayMs(1e6))).toBe(30_000);
  });

  test("and one that has not: a demand to recover is refused", async () => {
    await begin();
    expect(await send(recoverCommand())).toMatchObject({ type: "refused", reason: "not-paused" });
  });
});
