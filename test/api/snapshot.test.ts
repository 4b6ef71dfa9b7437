// What the advisor is given: everything that agents and operators have said, and nothing that they have not.
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import type { SnapshotHost, SnapshotVm } from "../../worker/model/cluster.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { readFacts, readSnapshot, readSnapshotWithRecent } from "../../worker/services/snapshots.ts";
import { inventory, vm, vmId } from "../support/api.ts";
import { ADMIN, call, depsOf, HOUR, lab, MINUTE, NOW, post } from "../support/telemetry.ts";

let worlds = 0;
const world = { cluster: "", a: "", b: "", vmOf: vmId() };

const put = async (host: string, body: object) =>
  expect(await call("PUT", `/v1/hosts/${host}`, ADMIN, JSON.stringify(body))).toMatchObject({ status: 200 });

beforeEach(async () => {
  const cluster = `snap-${++worlds}`;
  Object.assign(world, { cluster, a: `${cluster}-a`, b: `${cluster}-b`, vmOf: vmId() });
  lab.now = NOW + 20 * MINUTE;
  await put(world.a, inventory(cluster, [vm({ uuid: world.vmOf })]));
  await put(world.b, inventory(cluster, []));
});

const sql = (text: string, ...values: unknown[]) =>
  env.DB.prepare(text)
    .bind(...values)
    .run();

/** Samples of host A or its VM at these times. */
const say = async (
  times: number[],
  { host = world.a, ...of }: { host?: string; host_series?: Record<string, number[]>; vm?: Record<string, number[]> },
) => {
  const batch = { host, batch: crypto.randomUUID(), times, host_series: of.host_series ?? {} };
  const { status, body } = await post({ ...batch, vm_series: of.vm ? { [world.vmOf]: of.vm } : {} }, ADMIN);
  expect({ status, refused: body["refused"] ?? [] }).toEqual({ status: 200, refused: [] });
};

const every = (metric: string, value: number) => ({ [metric]: [value] });

async function hostOf(id = world.a, read = readSnapshot): Promise<SnapshotHost> {
  const { hosts } = await read(depsOf(), world.cluster);
  const found = hosts.find(({ hostId }) => hostId === id);
  if (!found) throw new Error(`${id} is not in the snapshot`);
  return found;
}
const guestOf = (host: SnapshotHost): SnapshotVm | undefined => host.vms.find(({ uuid }) => uuid === world.vmOf);

describe("loads", () => {
  test("of a host and a VM are what telemetry said last; what it never said is absent", async () => {
    await say([lab.now], {
      host_series: {
        ...every("cpu_used_cores", 6),
        ...every("disk_read_bytes_per_second", 10),
        ...every("disk_write_bytes_per_second", 20),
        ...every("cpu_pressure_ratio", 0.25),
        ...every("ecc_corrected_errors_per_second", 0.5),
        ...every("disk_failed_ratio", 0.125),
      },
      vm: {
        ...every("cpu_used_cores", 1.5),
        ...every("network_receive_bytes_per_second", 1),
        ...every("cpu_steal_ratio", 0.25),
        ...every("latency_seconds", 0.5),
        ...every(`peer_bytes_per_second:${"ab".repeat(16)}`, 7),
      },
    });
    const host = await hostOf();
    expect(host.load).toEqual({
      cpuUsedCores: 6,
      diskBytesPerSecond: 30,
      cpuPressureRatio: 0.25,
      eccCorrectedPerSecond: 0.5,
      diskFailedRatio: 0.125,
      at: lab.now,
    });
    expect(guestOf(host)?.load).toEqual({
      cpuUsedCores: 1.5,
      cpuStealRatio: 0.25,
      latencySeconds: 0.5,
      peerBytesPerSecond: { "abababab-abab-abab-abab-abababababab": 7 },
      at: lab.now,
    });
    expect((await hostOf(world.b)).load).toEqual({});
  });

  test("have the p95 of an hour once it is closed", async () => {
    const times = Array.from({ length: 60 }, (_, minute) => NOW - HOUR + minute * MINUTE);
    const rising = times.map((_, minute) => (1 + minute) / 4);
    await say(times, { host_series: { cpu_used_cores: rising }, vm: { cpu_used_cores: rising } });
    await runSchedule(depsOf());
    const host = await hostOf();
    const p95 = [host.load.cpuUsedCoresP95, guestOf(host)?.load.cpuUsedCoresP95];
    for (const value of p95) expect(Math.abs((value ?? 0) - 57 / 4)).toBeLessThan(1 / 4);
  });

  test("follow a VM to another host until that says something of it", async () => {
    await say([lab.now - MINUTE], { vm: { ...every("cpu_used_cores", 3), ...every("memory_nonzero_bytes", 5) } });
    await put(world.b, inventory(world.cluster, [vm({ uuid: world.vmOf })]));
    await put(world.a, inventory(world.cluster, []));
    expect(guestOf(await hostOf(world.b))?.load).toMatchObject({ cpuUsedCores: 3, at: lab.now - MINUTE });
    await say([lab.now], { host: world.b, vm: every("cpu_used_cores", 1) });
    expect(guestOf(await hostOf(world.b))?.load).toEqual({ cpuUsedCores: 1, memoryNonzeroBytes: 5, at: lab.now });
  });
});

describe("newest samples", () => {
  const quarters = (from: number, minutes: number) =>
    Array.from({ length: minutes * 4 }, (_, place) => from + place * (MINUTE / 4));

  test("are means of minutes over the border of an hour, live or packed, as far as they reach", async () => {
    const times = quarters(NOW - 10 * MINUTE, 30);
    await say(times, { host_series: { cpu_used_cores: times.map((_, place) => Math.floor(place / 4)) } });
    const at = times.at(-1);
    const expected = Array.from({ length: 30 }, (_, minute) => minute);
    const live = (await hostOf(world.a, readSnapshotWithRecent)).load.recent;
    expect(live).toEqual({ at, stepMs: MINUTE, series: { cpu_used_cores: expected } });
    await runSchedule(depsOf());
    expect(await env.DB.prepare("SELECT count(*) AS n FROM chunks WHERE packed IS NOT NULL").first("n")).not.toBe(0);
    expect((await hostOf(world.a, readSnapshotWithRecent)).load.recent).toEqual(live);
  });

  test("of VMs are there on hosts that are near hot, and only there", async () => {
    const times = quarters(NOW, 3);
    const vmSeries = { cpu_used_cores: times.map(() => 1), latency_seconds: times.map(() => 0.25) };
    await say(times, { host_series: { cpu_used_cores: times.map(() => 4) }, vm: vmSeries });
    expect(guestOf(await hostOf(world.a, readSnapshotWithRecent))?.load.recent).toBeUndefined();
    await say([times.at(-1) ?? 0], { host_series: { memory_used_bytes: [60 * 2 ** 30] } });
    const recent = {
      at: times.at(-1),
      stepMs: MINUTE,
      series: { cpu_used_cores: [1, 1, 1], latency_seconds: [0.25, 0.25, 0.25] },
    };
    expect(guestOf(await hostOf(world.a, readSnapshotWithRecent))?.load.recent).toEqual(recent);
  });

  test("of a host begin anew when a VM has left it or come to it", async () => {
    const times = quarters(NOW, 10);
    await say(times, { host_series: { cpu_used_cores: times.map(() => 4) } });
    await moved(NOW + 8 * MINUTE);
    expect((await hostOf(world.a, readSnapshotWithRecent)).load.recent?.series["cpu_used_cores"]).toEqual([4, 4]);
  });

  test("are not there for a host that never sent any", async () => {
    expect((await hostOf(world.b, readSnapshotWithRecent)).load).toEqual({});
  });
});

let migrations = 0;
/** A migration of the VM from A to B that ended then. */
const moved = (endedAt: number, state = "completed") =>
  sql(
    `INSERT INTO migrations (id, cluster, plan_id, move_number, vm_uuid, vm_name, from_host_id, to_host_id, mechanism, state,
       version, parameters, limits, predicted, created_at, state_at, ended_at)
     VALUES (?, ?, 'pln', 1, ?, 'vm', ?, ?, 'pre-copy', ?, 1, '{}', '{}', '{}', ?, ?, ?)`,
    `mig-snap-${++migrations}`,
    world.cluster,
    world.vmOf,
    world.a,
    world.b,
    state,
    endedAt,
    endedAt,
    endedAt,
  );

test("migrations completed within 24 h are counted by VM", async () => {
  await moved(lab.now - 24 * HOUR);
  await moved(lab.now - 24 * HOUR + 1);
  await moved(lab.now - MINUTE);
  await moved(lab.now - MINUTE, "failed");
  const { movesLastDay } = await readSnapshot(depsOf(), world.cluster);
  expect(movesLastDay).toEqual({ [world.vmOf]: 2 });
});

describe("the health of a host", () => {
  test("has the conditions of its inventory", async () => {
    const conditions = [{ type: "disk", severity: "degraded", since: NOW, detail: "sdb of md0 has failed" }];
    await put(world.a, { ...inventory(world.cluster, []), conditions });
    expect((await hostOf()).conditions).toEqual(conditions);
  });

  test("counts how often it came with another boot id within 24 h", async () => {
    expect((await hostOf()).restartsLastDay).toBe(0);
    for (const bootId of ["boot-2", "boot-2", "boot-3"]) {
      await put(world.a, { ...inventory(world.cluster, []), bootId });
      lab.now += HOUR;
    }
    expect((await hostOf()).restartsLastDay).toBe(2);
    lab.now = NOW + 20 * MINUTE + 24 * HOUR;
    expect((await hostOf()).restartsLastDay).toBe(1);
  });
});

describe("a stored row that cannot be read", () => {
  const harms: [string, () => Promise<unknown>, string][] = [
    ["a host's inventory", () => sql("UPDATE hosts SET inventory = '{' WHERE id = ?", world.a), "gone"],
    [
      "a field of a host's inventory",
      () => sql("UPDATE hosts SET inventory = json_set(inventory, '$.rack', 5) WHERE id = ?", world.a),
      "inventory",
    ],
    ["a VM's inventory", () => sql("UPDATE vms SET inventory = '[]' WHERE uuid = ?", world.vmOf), "VM"],
    ["a host's readings", () => state("latest = 'AAAA'"), "telemetry"],
    ["a host's layout", () => state("layout = '[[],[[\"\",9]]]'"), "telemetry"],
    ["a host's curves", () => state("curves = '{\"x\":1}'"), "telemetry"],
    ["what a host said of its VMs", () => state('vm_states = \'{"x":"asleep"}\''), "states of VMs"],
  ];
  const state = (change: string) =>
    sql(`UPDATE host_state SET ${change} WHERE host_number = (SELECT number FROM hosts WHERE id = ?)`, world.a);

  test.each(harms)("(%s) makes its host unknown, and no other", async (_, harm, what) => {
    for (const host of [world.a, world.b]) await say([lab.now], { host, host_series: every("cpu_used_cores", 2) });
    await harm();
    const { hosts } = await readSnapshotWithRecent(depsOf(), world.cluster);
    const [a, b] = [world.a, world.b].map((id) => hosts.find(({ hostId }) => hostId === id));
    const left = { heardAt: undefined, load: {}, unreadable: [expect.stringContaining(what)] };
    expect(a && { heardAt: a.heardAt, load: a.load, unreadable: a.unreadable }).toEqual(
      what === "gone" ? undefined : left,
    );
    expect(b).toMatchObject({ heardAt: lab.now, load: { cpuUsedCores: 2, recent: expect.anything() } });
    const plan = { cluster: world.cluster, goal: "balance" };
    expect(await call("POST", "/v1/plans", ADMIN, JSON.stringify(plan))).toMatchObject({ status: 201 });
  });

  test("as a summary only leaves the p95 unknown, and as a calibration what was learned", async () => {
    await say([NOW - HOUR, lab.now], { host_series: { cpu_used_cores: [2, 2] } });
    await runSchedule(depsOf());
    await sql("UPDATE host_summaries SET summary = '{}'");
    await sql("INSERT INTO calibrations (cluster, body, drifted, fitted_at) VALUES (?, '{', '[]', 0)", world.cluster);
    const snapshot = await readSnapshot(depsOf(), world.cluster);
    expect(snapshot.calibration).toBeUndefined();
    expect(snapshot.hosts[0]).toMatchObject({ heardAt: lab.now, load: { cpuUsedCores: expect.closeTo(2) } });
    expect(snapshot.hosts[0]?.load.cpuUsedCoresP95).toBeUndefined();
  });

  test("as a rule holds plans back until it is replaced or deleted, and nothing else", async () => {
    const rule = "INSERT INTO placement_rules (id, cluster, rule, created_at, updated_at) VALUES (?, ?, '{}', 0, 0)";
    await sql(rule, `rul-${world.cluster}`, world.cluster);
    const plan = JSON.stringify({ cluster: world.cluster, goal: "balance" });
    const refused = await call("POST", "/v1/plans", ADMIN, plan);
    expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringContaining("replaced or deleted") } });
    expect((await readFacts(depsOf(), world.cluster)).hosts).toHaveLength(2);
    expect((await call("GET", `/v1/rules?cluster=${world.cluster}`, ADMIN)).body).toEqual({ items: [], next: null });
    expect(await call("DELETE", `/v1/rules/rul-${world.cluster}`, ADMIN)).toMatchObject({ status: 200 });
    expect(await call("POST", "/v1/plans", ADMIN, plan)).toMatchObject({ status: 201 });
  });
});
