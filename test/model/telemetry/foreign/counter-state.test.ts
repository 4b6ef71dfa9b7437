import { describe, expect, test } from "vitest";
import { combineForeign } from "../../../../worker/model/telemetry/foreign/combine.ts";
import {
  formatCounterState,
  NO_COUNTERS,
  parseCounterState,
} from "../../../../worker/model/telemetry/foreign/counter-state.ts";
import type { ForeignSeries } from "../../../../worker/model/telemetry/foreign/target.ts";
import { after, HOUR, NOW, SCRAPE, series, target, TOTAL, user, VM } from "../../../support/foreign.ts";

describe("the state of counters", () => {
  /** A scrape of a host of 64 CPUs with 20 VMs of 2 disks and 2 network interfaces. */
  const large = (time: number): ForeignSeries[] => {
    const targets = ["user", "nice", "system", "irq", "softirq", "steal"].flatMap((mode) =>
      Array.from({ length: 64 }, (_, one) => target("node_cpu_seconds_total", { cpu: String(one), mode })),
    );
    for (let vm = 0; vm < 20; vm++) {
      const uuid = VM.replace("0b5f", String(1000 + vm));
      targets.push(target("libvirt_domain_info_cpu_time_seconds_total", { uuid }));
      targets.push(target("libvirt_domain_info_memory_usage_bytes", { uuid }));
      for (const number of [0, 1]) {
        for (const way of ["receive", "transmit"])
          targets.push(
            target(`libvirt_domain_interface_stats_${way}_bytes_total`, {
              uuid,
              target_device: `vnet${2 * vm + number}`,
            }),
          );
        for (const way of ["read", "write"])
          targets.push(
            target(`libvirt_domain_block_stats_${way}_bytes_total`, { uuid, target_device: `vd${"ab"[number]}` }),
          );
      }
    }
    return targets.map((of, index) => series(of, [[time, Math.round((time + 1e9) * (index + 1) * 1.37) / 100]]));
  };

  test("of a large host takes less than 20 kB", () => {
    const { state } = after(Array.from({ length: 20 }, (_, index) => large(index * SCRAPE)));
    const text = formatCounterState(state);
    expect(text.length).toBeLessThan(20_000);
    expect(formatCounterState(parseCounterState(text))).toBe(text);
  });

  test("reads what version 1 wrote", () => {
    const [kept, partial] = [series(user(0), [[0, 1.5]]), series(user(10), [[0, 2]])];
    const { state } = combineForeign([kept, partial, series(user(0), [[SCRAPE, 3]])], NO_COUNTERS, NOW);
    const text =
      '[1,0,[[0,1795399200000,15000]],[["",[["cpu_used_cores","node",0,"0user 0|510",[0,15000],[3,2],' +
      "[[[3],[],0,null],[[1],[],1,0.1]]]]]]]";
    expect(formatCounterState(state)).toBe(text);
    expect(parseCounterState(text)).toEqual(state);
  });

  test("forgets what was not heard of for an hour", () => {
    const { state } = after([[series(user(0), [[0, 1]])], [series(TOTAL, [[HOUR + 1, 1]])]]);
    expect([...state.groups.keys()]).toEqual(["/memory_used_bytes/node"]);
  });

  test("is bounded: what is too much is told, the rest goes on", () => {
    const devices = Array.from({ length: 3001 }, (_, index) =>
      target("node_disk_read_bytes_total", { device: `nvme${index}n1` }),
    );
    const { state } = after([devices.map((of) => series(of, [[0, 1]]))]);
    expect(state.groups.size).toBe(0);
    const { refused } = combineForeign(
      [...devices.map((of) => series(of, [[0, 1]])), series(user(0), [[1, 1]])],
      NO_COUNTERS,
      NOW,
    );
    expect(refused).toMatchObject([{ series: "/disk_read_bytes_per_second/node" }]);
  });

  test.each(["", "[]", "[2,0,[],[]]", '[1,0,[],[["",[["a","b",0]]]]]'])("%j is none", (text) => {
    expect(() => parseCounterState(text)).toThrow(/./);
  });
});
