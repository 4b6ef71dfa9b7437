import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isMetricName, metricNamed } from "../../../../worker/model/telemetry/catalogue.ts";
import { TERMS } from "../../../../worker/model/telemetry/foreign/mapping-tables.ts";
import { storedName } from "../../../../worker/model/telemetry/foreign/naming.ts";
import type { Label } from "../../../../worker/model/telemetry/foreign/remote-write.ts";
import {
  type LabelSettings,
  type Target,
  targetOf,
  USUAL_LABELS,
} from "../../../../worker/model/telemetry/foreign/target.ts";

const VM = "6695eb01-f6a4-8304-79aa-97f2502e193f";

function mapped(name: string, labels: Record<string, string>, settings: Partial<LabelSettings> = {}): Target | string {
  return targetOf({ name, labels: Object.entries(labels), resource: [] }, { ...USUAL_LABELS, ...settings });
}

describe("the host", () => {
  test.each([
    ["the instance without its port", { instance: "hv-1.example:9100" }, {}, "hv-1.example"],
    ["the label host before it", { instance: "10.0.0.1:9100", host: "hv-1" }, {}, "hv-1"],
    ["the label that is set", { instance: "hv-1:9100", node: "hv-2" }, { hostLabel: "node" }, "hv-2"],
    ["the host that is set", { instance: "hv-1:9100" }, { host: "hv-3" }, "hv-3"],
  ])("%s", (_, labels, settings, host) => {
    expect(mapped("node_load1", labels, settings)).toMatchObject({ host, metric: "node_load1" });
  });

  test.each([
    ["no label", {}, {}, "no label names its host"],
    [
      "no label as set",
      { instance: "hv-1:9100" },
      { hostLabel: "node" },
      "no label names its host: node was looked for",
    ],
    ["an empty label", { instance: "" }, {}, "no label names its host"],
    ["what cannot be a host's id", { instance: "[fe80::1]:9100" }, {}, "fe80::1 cannot be the id of a host"],
  ])("%s: refused", (_, labels, settings, reason) => {
    expect(mapped("node_load1", labels, settings)).toContain(reason);
  });

  test("a series without a name, or with a label twice, is refused", () => {
    expect(mapped("", { instance: "a" })).toBe("it has no name");
    const twice: Label[] = [
      ["instance", "a"],
      ["instance", "b"],
    ];
    expect(targetOf({ name: "x", labels: twice, resource: [] }, USUAL_LABELS)).toBe("a label is there twice");
  });

  test("what a resource says holds for its series, and is no part of their names", () => {
    const resource: Label[] = [
      ["host.name", "hv-7"],
      ["os.type", "linux"],
      ["service.name", "agent"],
    ];
    expect(targetOf({ name: "queue.length", labels: [["queue", "a"]], resource }, USUAL_LABELS)).toMatchObject({
      host: "hv-7",
      metric: "queue_length:a_agent",
    });
    expect(targetOf({ name: "system.uptime", labels: [], resource }, USUAL_LABELS)).toMatchObject({
      metric: "system_uptime",
    });
  });
});

describe("the VM", () => {
  test.each([
    ["the uuid, in any case", { uuid: VM.toUpperCase(), domain: "web" }, {}, VM, null],
    ["an attribute of a VM", { "vm.id": VM }, {}, VM, null],
    ["the name of a libvirt domain", { domain: "web" }, {}, "", "web"],
    ["a label that holds a name", { vm: "web" }, {}, "", "web"],
    ["the label that is set", { guest: VM, uuid: "x" }, { vmLabel: "guest" }, VM, null],
    ["the name's label that is set", { guest: "web" }, { vmNameLabel: "guest" }, "", "web"],
  ])("%s", (_, labels, settings, entity, vmName) => {
    const target = mapped("libvirt_domain_info_memory_usage_bytes", { instance: "hv-1:9177", ...labels }, settings);
    expect(target).toMatchObject({ entity, vmName, metric: "memory_used_bytes" });
  });

  test("a file system's uuid and a DNS domain are none", () => {
    expect(mapped("node_btrfs_size_bytes", { host: "hv-1", uuid: VM })).toMatchObject({ entity: "", vmName: null });
    expect(mapped("dns_queries_total", { host: "hv-1", domain: "example" })).toMatchObject({
      entity: "",
      vmName: null,
    });
  });

  test("its labels are no part of a name: a metric has one name for all VMs", () => {
    const of = (uuid: string): Target | string => mapped("app_load", { host: "hv-1", job: "app", uuid });
    expect(of(VM)).toMatchObject({ metric: "app_load:app", entity: VM });
    expect(of(VM.replace("6", "7"))).toMatchObject({ metric: "app_load:app" });
  });
});

describe("the tables", () => {
  test("have metrics of the catalogue, within their scope", () => {
    for (const { metric, scope } of TERMS) expect([scope, "both"]).toContain(metricNamed(metric)?.scope);
  });

  test.each([
    ["node_cpu_seconds_total", { cpu: "3", mode: "user" }, "cpu_used_cores", "user 3"],
    ["node_cpu_seconds_total", { cpu: "3", mode: "idle" }, "node_cpu_seconds_total:3_idle", ""],
    ["node_cpu_seconds_total", { cpu: "3", mode: "iowait" }, "node_cpu_seconds_total:3_iowait", ""],
    ["node_network_receive_bytes_total", { device: "eth0" }, "network_receive_bytes_per_second", "eth0"],
    ["node_network_receive_bytes_total", { device: "enp3s0f1np1" }, "network_receive_bytes_per_second", "enp3s0f1np1"],
    ["node_network_receive_bytes_total", { device: "lo" }, "node_network_receive_bytes_total:lo", ""],
    ["node_network_receive_bytes_total", { device: "vnet12" }, "node_network_receive_bytes_total:vnet12", ""],
    ["node_network_receive_bytes_total", { device: "br0" }, "node_network_receive_bytes_total:br0", ""],
    ["node_network_receive_bytes_total", { device: "tap1" }, "node_network_receive_bytes_total:tap1", ""],
    ["node_disk_read_bytes_total", { device: "nvme0n1" }, "disk_read_bytes_per_second", "nvme0n1"],
    ["node_disk_read_bytes_total", { device: "nvme0n1p2" }, "node_disk_read_bytes_total:nvme0n1p2", ""],
    ["node_disk_read_bytes_total", { device: "sda" }, "disk_read_bytes_per_second", "sda"],
    ["node_disk_read_bytes_total", { device: "sda1" }, "node_disk_read_bytes_total:sda1", ""],
    ["node_disk_written_bytes_total", { device: "md0" }, "node_disk_written_bytes_total:md0", ""],
    ["node_memory_MemTotal_bytes", {}, "memory_used_bytes", "node_memory_MemTotal_bytes"],
    ["node_pressure_memory_waiting_seconds_total", {}, "memory_pressure_ratio", ""],
    ["node_edac_correctable_errors_total", { controller: "0" }, "ecc_corrected_errors_per_second", "0"],
    ["node_edac_uncorrectable_errors_total", { controller: "1" }, "ecc_uncorrected_errors_per_second", "1"],
    ["node_hwmon_temp_celsius", { chip: "c", sensor: "temp1" }, "temperature_celsius", "c temp1"],
    ["system.cpu.time", { state: "user", cpu: "cpu0" }, "cpu_used_cores", "user cpu0"],
    ["system.cpu.time", { "cpu.mode": "idle", "cpu.logical_number": "0" }, "system_cpu_time:0_idle", ""],
    ["system.memory.usage", { "system.memory.state": "used" }, "memory_used_bytes", ""],
    [
      "system.network.io",
      { "network.interface.name": "eth0", "network.io.direction": "transmit" },
      "network_transmit_bytes_per_second",
      "eth0",
    ],
    ["system.disk.io", { device: "sda", direction: "write" }, "disk_write_bytes_per_second", "sda"],
  ])("%s %j is %s", (name, labels, metric, member) => {
    expect(mapped(name, { instance: "hv-1:9100", job: "any", ...labels })).toMatchObject({ metric, member });
  });

  test("labels that a scrape adds make no new member", () => {
    const labels = { instance: "hv-1:9100", cpu: "0", mode: "user" };
    const [one, two] = ["a", "b"].map((replica) =>
      mapped("node_cpu_seconds_total", { ...labels, replica, job: replica }),
    );
    expect(one).toEqual(two);
  });
});

describe("stored names", () => {
  test.each([
    ["up", [["job", "node"]], "up:node"],
    ["up", [], "up"],
    ["system.cpu.load", [], "system_cpu_load"],
    [
      "node_cpu",
      [
        ["mode", "idle"],
        ["cpu", "0"],
      ],
      "node_cpu:0_idle",
    ],
    ["5xx", [], expect.stringMatching(/^_5xx_[0-9a-z]{7}$/)],
    ["a b", [], expect.stringMatching(/^a_b_[0-9a-z]{7}$/)],
    ["up", [["path", "/a-b"]], expect.stringMatching(/^up:_a_b_[0-9a-z]{7}$/)],
  ] as [string, Label[], string][])("%s %j: %s", (name, labels, stored) => {
    expect(storedName(name, labels)).toEqual(stored);
  });

  test("are metric names, whatever was sent", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", minLength: 1, maxLength: 200 }),
        fc.array(fc.tuple(fc.string(), fc.string({ unit: "binary", maxLength: 60 })), { maxLength: 4 }),
        (name, labels) => {
          expect(storedName(name, labels)).toSatisfy(isMetricName);
        },
      ),
      { seed: 1, numRuns: 2000 },
    );
  });

  test("are different for different values of the same labels", () => {
    const anyValue = fc.string({ unit: fc.constantFrom("a", "_", "-", ":", "é"), maxLength: 3 });
    fc.assert(
      fc.property(fc.tuple(anyValue, anyValue), fc.tuple(anyValue, anyValue), (one, two) => {
        fc.pre(one.join("\n") !== two.join("\n"));
        const named = ([a, b]: [string, string]): string =>
          storedName("x", [
            ["a", a],
            ["b", b],
          ]);
        expect(named(one)).not.toBe(named(two));
      }),
      { seed: 2, numRuns: 5000 },
    );
  });
});
