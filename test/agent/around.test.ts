// What an agent does around a move: hooks before and after, announcing, and whether the VM's address answers.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseConfig, type AgentConfig } from "../../scripts/agent/config.ts";
import { runProgram } from "../../scripts/agent/hooks.ts";
import type { MigrationEvent } from "../../worker/model/wire/event.ts";
import { VM, createBench, prepareCommand, startCommand, vmInventory, type Bench, type Host } from "./builders.ts";
import { progress } from "./scripted-driver.ts";

let bench: Bench;
let folder: string;
beforeEach(async () => {
  bench = await createBench();
  folder = mkdtempSync(path.join(tmpdir(), "drover-around-"));
});
afterEach(async () => {
  await bench.close();
  rmSync(folder, { recursive: true });
});

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 5 });
const events = (): MigrationEvent[] => bench.edge.events("m1");
const of = <T extends MigrationEvent["type"]>(type: T) =>
  events().filter((event): event is Extract<MigrationEvent, { type: T }> => event.type === type);

/** A program that appends what it is told to a file, and ends as it is told. */
function script(name: string, body: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}
const noted = (): string[] =>
  existsSync(path.join(folder, "notes"))
    ? readFileSync(path.join(folder, "notes"), "utf8")
        .trim()
        .split("\n")
        .map((line) => line.trim())
    : [];
const noting = (name: string, more = "") =>
  script(
    name,
    `echo "$DROVER_HOOK ${name} $1 $DROVER_VM_NAME $DROVER_OUTCOME" >> ${path.join(folder, "notes")}\n${more}`,
  );

/** Both agents, the destination prepared and the source told to start. */
async function setOut(changes: Partial<AgentConfig>): Promise<{ source: Host; destination: Host }> {
  const vm = vmInventory({ labels: { tier: "db" } });
  const source = bench.host("hv-a", [vm], changes);
  const destination = bench.host("hv-b", [], changes);
  bench.edge.commands.set("hv-b", [bench.signer.seal(prepareCommand({ vm }))]);
  const { peerUrl } = await destination.start();
  await eventually(() => expect(of("prepared")).toHaveLength(1));
  const to = { migrationUri: "tcp:127.0.0.1:4444", peerUrl };
  bench.edge.commands.set("hv-a", [bench.signer.seal(startCommand({ vm, destination: to }))]);
  await source.start();
  return { source, destination };
}

async function arrive({ script: hypervisor }: Host): Promise<void> {
  await eventually(() => expect(of("accepted")).toHaveLength(1));
  const counters = { transferredBytes: 1 };
  const at = Date.now();
  hypervisor.goTo({
    state: "completed",
    postCopy: false,
    stoppedAtMs: at,
    completedAtMs: at,
    progress: progress(),
    counters,
  });
  await eventually(() => expect(of("completed")).toHaveLength(1));
}

describe("hooks", () => {
  test("are run before the hypervisor is asked, and after the VM has arrived, where it is then", async () => {
    const quiesce = noting("quiesce");
    const hooks = [{ name: "db", labels: { tier: "db" }, before: [quiesce, "{uuid}"], after: [quiesce, "{uuid}"] }];
    const { source } = await setOut({ hooks });
    await arrive(source);
    await eventually(() => expect(of("hook")).toHaveLength(2));
    expect(noted()).toEqual([`before quiesce ${VM} web-1`, `after quiesce ${VM} web-1 completed`]);
    expect(of("hook")).toMatchObject([
      { hostId: "hv-a", name: "db", when: "before", ok: true },
      { hostId: "hv-b", name: "db", when: "after", ok: true },
    ]);
    const order = events().map(({ type }) => type);
    expect(order.indexOf("hook")).toBeLessThan(order.indexOf("accepted"));
  });

  test("before a move that fail refuse it, and what they had begun is ended where the VM has stayed", async () => {
    const good = noting("good");
    const bad = noting("bad", "echo the database is busy >&2\nexit 3");
    const hooks = [
      { name: "first", vms: ["web-*"], before: [good], after: [good] },
      { name: "second", vms: [VM], before: [bad], after: [good] },
      { name: "third", vms: ["web-1"], before: [good], after: [good] },
    ];
    const { source } = await setOut({ hooks });
    await eventually(() => expect(of("hook").filter(({ when }) => when === "after")).toHaveLength(2));
    expect(of("refused")).toMatchObject([{ hostId: "hv-a", reason: "hook", commandId: "c-start" }]);
    expect(of("refused")[0]?.detail).toMatch(/second.*ended with 3.*the database is busy/);
    expect(noted().map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "before good",
      "before bad",
      "after good",
      "after good",
    ]);
    expect(noted().at(-1)).toContain("refused");
    expect(source.script.calls).toEqual([]);
  });

  test("of a move that fails later are ended at its source", async () => {
    const note = noting("note");
    const { source } = await setOut({ hooks: [{ name: "db", vms: ["*"], before: [note], after: [note] }] });
    await eventually(() => expect(of("accepted")).toHaveLength(1));
    source.script.goTo({ state: "failed", detail: "the link broke", vmState: "running" });
    await eventually(() =>
      expect(of("hook").map(({ when, hostId }) => `${when} ${hostId}`)).toEqual(["before hv-a", "after hv-a"]),
    );
    expect(noted().at(-1)).toContain("failed");
  });

  test("that were begun by an agent that died are ended by the next one", async () => {
    const note = noting("note");
    const hang = noting("hang", "sleep 20");
    const hooks = [
      { name: "one", vms: ["*"], before: [note], after: [note] },
      { name: "two", vms: ["*"], before: [hang], after: [note] },
    ];
    const { source } = await setOut({ hooks });
    await eventually(() => expect(noted()).toHaveLength(2));
    source.agent?.kill();
    await source.start();
    await eventually(() => expect(noted().filter((line) => line.startsWith("after note"))).toHaveLength(2));
    await eventually(() => expect(of("failed")).toMatchObject([{ reason: "agent-restarted", vmState: "running" }]));
  });

  test("after a move that fail are told of and change nothing", async () => {
    const { source } = await setOut({ hooks: [{ name: "db", vms: ["*"], after: [script("no", "exit 1")] }] });
    await arrive(source);
    await eventually(() => expect(of("hook")).toMatchObject([{ when: "after", ok: false, hostId: "hv-b" }]));
    expect(of("failed")).toEqual([]);
  });

  test("of other VMs are not run", async () => {
    const note = noting("note");
    const hooks = [
      { name: "a", vms: ["db-*"], before: [note], after: [note] },
      { name: "b", labels: { tier: "web" }, before: [note] },
      { name: "c", vms: ["web-1"], labels: { tier: "web" }, before: [note] },
    ];
    const { source } = await setOut({ hooks });
    await arrive(source);
    expect(of("hook")).toEqual([]);
    expect(noted()).toEqual([]);
  });

  test("get none of the agent's environment, and nothing of theirs is read by a shell", async () => {
    const env = { DROVER_VM_NAME: "x" };
    const signal = new AbortController().signal;
    const ran = await runProgram([script("env", 'env; echo "[$1]"'), " $(id); `id`"], { env, timeoutMs: 5000, signal });
    expect(ran.detail).toContain("[ $(id); `id`]");
    expect(ran.detail).not.toContain("HOME=");
  });

  test("are killed with all that they have started when their time is over", async () => {
    const file = path.join(folder, "late");
    const signal = new AbortController().signal;
    const hang = script("hang", `(sleep 1; touch ${file}) &\nsleep 20`);
    const ran = await runProgram([hang], { env: {}, timeoutMs: 200, signal });
    expect(ran).toMatchObject({ ok: false, detail: expect.stringContaining("killed after 200 ms") });
    expect(ran.durationMs).toBeLessThan(5000);
    await runProgram(["/bin/sleep", "1.3"], { env: {}, timeoutMs: 5000, signal });
    expect(existsSync(file)).toBe(false);
  });

  test("that there is no program for say so", async () => {
    const signal = new AbortController().signal;
    const ran = await runProgram([path.join(folder, "nobody")], { env: {}, timeoutMs: 1000, signal });
    expect(ran).toMatchObject({ ok: false, detail: expect.stringContaining("ENOENT") });
  });
});

describe("the network after a move", () => {
  let server: Server;
  let port: number;
  beforeEach(async () => {
    server = createServer((socket) => socket.on("error", () => undefined).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => void server.close());

  test("is told where the VM is by its destination, and asked for it from where it was", async () => {
    const check = { vms: ["web-1"], check: "tcp" as const, address: "127.0.0.1", port };
    const other = { vms: ["db-1"], check: "tcp" as const, address: "127.0.0.1", port: 9 };
    const { source } = await setOut({ addressChecks: [check, other] });
    await arrive(source);
    await eventually(() => expect(of("address-checked")).toHaveLength(1));
    expect(of("announced")).toMatchObject([{ hostId: "hv-b", how: "sent" }]);
    expect(of("address-checked")).toMatchObject([{ hostId: "hv-a", name: `tcp 127.0.0.1:${port}`, answered: true }]);
  });

  test("that does not find the VM is a warning, and the move stays made", async () => {
    server.close();
    const check = { vms: ["*"], check: "tcp" as const, address: "127.0.0.1", port, withinMs: 700 };
    const { source, destination } = await setOut({ addressChecks: [check] });
    destination.script.on.announce = () => {
      throw new Error("no such command");
    };
    await arrive(source);
    await eventually(() => expect(of("address-checked")).toMatchObject([{ answered: false }]));
    expect(of("address-checked")[0]?.detail).toMatch(/ECONNREFUSED.*2 attempts/);
    expect(of("announced")).toMatchObject([{ how: "failed", detail: "no such command" }]);
    expect(of("failed")).toEqual([]);
    expect(bench.lines.join("\n")).toContain("does not answer after its move");
    expect(source.script.calls).toContain(`releaseSource ${VM}`);
  });

  test("waits for a VM that answers a little later", async () => {
    server.close();
    const check = { vms: ["*"], check: "tcp" as const, address: "127.0.0.1", port, withinMs: 8000 };
    const { source } = await setOut({ addressChecks: [check] });
    await arrive(source);
    await new Promise<void>((resolve) =>
      (server = createServer((socket) => socket.end())).listen(port, "127.0.0.1", resolve),
    );
    await eventually(() => expect(of("address-checked")).toMatchObject([{ answered: true }]));
  });
});

test.each<[string, unknown, RegExp]>([
  ["a shell's line", { hooks: [{ name: "x", vms: ["*"], before: "rm -rf /" }] }, /hooks\.0\.before/],
  ["a program without its path", { hooks: [{ name: "x", vms: ["*"], before: ["sync"] }] }, /full path/],
  ["nothing to run", { hooks: [{ name: "x", vms: ["*"] }] }, /nothing to run/],
  ["a hook of no VM", { hooks: [{ name: "x", before: ["/bin/sync"] }] }, /say which VMs/],
  ["two of one name", { hooks: ["a", "a"].map((name) => ({ name, vms: ["*"], after: ["/bin/sync"] })) }, /one name/],
  ["a hook without end", { hooks: [{ name: "x", vms: ["*"], after: ["/bin/sync"], timeoutMs: 1e6 }] }, /timeoutMs/],
  [
    "a TCP check without a port",
    { addressChecks: [{ vms: ["*"], check: "tcp", address: "h" }] },
    /addressChecks\.0\.port/,
  ],
  ["an address that is an option", { addressChecks: [{ vms: ["*"], check: "ping", address: "-f" }] }, /address/],
])("a configuration with %s is refused", (_, part, why) => {
  const { config } = bench.host("hv-a");
  expect(() => parseConfig({ ...config, ...(part as object) })).toThrow(why);
});
