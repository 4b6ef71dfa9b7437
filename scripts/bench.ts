// `npm run bench`: what the hot paths cost on this machine. JSON lines on stdout, a table on stderr. Machines are shared:
// compare ratios within one run.
import { estimateMigration } from "../worker/model/migration/index.ts";
import { estimateInput } from "../worker/model/migration/types.ts";
import { buildPlan } from "../worker/model/placement/index.ts";
import { HOST } from "../worker/model/telemetry/frame.ts";
import { layoutOf, readLive, writeLiveFrame } from "../worker/model/telemetry/live.ts";
import { packFrame } from "../worker/model/telemetry/packed/frame.ts";
import { readPacked } from "../worker/model/telemetry/packed/read.ts";
import { rawContent, unpack } from "../worker/model/telemetry/stored-chunk.ts";
import { parametersOf, world } from "../test/support/world.ts";
import { randomOf } from "../worker/model/forecast/random.ts";
import { cpuMs, printTable, report } from "./bench/report.ts";
import { DEFAULT_SEED, hostLoad } from "./bench/telemetry/workload.ts";

const NOW = 1_795_399_200_000;

/** The first host of the reference workload: how dense its samples are, and what coding them costs. */
function benchCodec(): void {
  for (const steps of [4, 20, 240]) {
    const { times, series, vms } = hostLoad(0, { seed: DEFAULT_SEED, steps, from: NOW });
    const named = [
      ...series.map(({ metric, values }) => ({ entity: HOST, metric, values })),
      ...vms.flatMap((vm) => vm.series.map(({ metric, values }) => ({ entity: vm.uuid, metric, values }))),
    ];
    const columns = named.map((column) => ({ ...column, values: Float64Array.from(column.values) }));
    const samples = steps * columns.length;
    const turns = Math.ceil(200_000 / samples);
    const figure = (what: string, value: number, unit: string): void =>
      report({ bench: "codec", case: `${steps} scrapes of ${columns.length} series`, metric: what, value, unit });
    const perMillion = (act: () => unknown): number => cpuMs(turns, act) * (1000 / samples);

    const layout = layoutOf(columns);
    const live = writeLiveFrame({ times, columns }, layout, true);
    figure("live", live.length / samples, "B/sample");
    figure(
      "write live",
      perMillion(() => writeLiveFrame({ times, columns }, layout, true)),
      "s/M samples",
    );
    figure(
      "read live",
      perMillion(() => readLive(live, () => true)),
      "s/M samples",
    );

    const content = rawContent({ times, columns });
    const packed = packFrame(content);
    figure("packed", packed.length / samples, "B/sample");
    figure(
      "pack",
      perMillion(() => packFrame(content)),
      "s/M samples",
    );
    figure(
      "unpack",
      perMillion(() => unpack(packed)),
      "s/M samples",
    );
    const wanted = { entities: new Set([HOST]), metric: (metric: string) => metric === columns[0]?.metric };
    figure(
      "read one column",
      cpuMs(turns, () => readPacked([{ offset: 0, bytes: packed }], wanted)),
      "ms",
    );
  }
}

function benchEstimate(): void {
  const input = estimateInput.parse({
    vm: {
      memoryBytes: 8 * 2 ** 30,
      nonzeroBytes: 2 * 2 ** 30,
      vcpus: 4,
      dirtyCurve: [
        { windowMs: 1000, bytes: 41_943_040 },
        { windowMs: 5000, bytes: 125_829_120 },
      ],
    },
    link: { bytesPerSecond: 1.177e9 },
  });
  report({
    bench: "estimate",
    case: "four mechanisms",
    metric: "cpuMs",
    value: cpuMs(500, () => estimateMigration(input)),
    unit: "ms",
  });
}

function benchAdvisor(): void {
  for (const [hosts, vms] of [
    [6, 40],
    [100, 2000],
  ] as const) {
    const random = randomOf(hosts);
    const hostIds = Array.from({ length: hosts }, (_, index) => `hv-${String(index).padStart(3, "0")}`);
    // Every tenth host is loaded twice as much as the others.
    const on = (index: number): string =>
      hostIds[index % (hosts + Math.ceil(hosts / 10))] ?? hostIds[index % Math.ceil(hosts / 10)] ?? "";
    const snapshot = world({
      hosts: Object.fromEntries(hostIds.map((hostId) => [hostId, { cores: 20, memoryBytes: 256 * 2 ** 30 }])),
      vms: Object.fromEntries(
        Array.from({ length: vms }, (_, index) => [`vm-${index}`, { on: on(index), cpuUsedCores: 0.2 + random() }]),
      ),
    });
    const name = `${hosts} hosts, ${vms} VMs`;
    for (const [goal, parameters] of [
      ["balance", parametersOf({ hotRatio: 0.7 })],
      ["evacuate", parametersOf({ hostIds: [hostIds[0] ?? ""] })],
    ] as const) {
      const plan = buildPlan(snapshot, goal, parameters);
      report({
        bench: "advisor",
        case: name,
        metric: `${goal}CpuMs`,
        value: cpuMs(3, () => buildPlan(snapshot, goal, parameters)),
        unit: "ms",
      });
      report({ bench: "advisor", case: name, metric: `${goal}Moves`, value: plan.moves.length, unit: "moves" });
    }
  }
}

benchCodec();
benchEstimate();
benchAdvisor();
printTable();
process.exit(0);
