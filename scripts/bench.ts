// `npm run bench`: what the hot paths cost on this machine. JSON lines on stdout, a table on stderr. Machines are shared:
// compare ratios within one run.
import { estimateMigration } from "../worker/model/migration/index.ts";
import { estimateInput } from "../worker/model/migration/types.ts";
import { buildPlan } from "../worker/model/placement/index.ts";
import { packFrame, readColumns, frameBytes, type Frame } from "../worker/model/telemetry/chunk.ts";
import { parametersOf, world } from "../test/support/world.ts";
import { benchIngest } from "./bench/ingest.ts";
import { cpuMs, printTable, report, seeded } from "./bench/report.ts";

const METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "memory_dirty_bytes_per_second",
  "memory_nonzero_bytes",
  "cpu_steal_ratio",
];
const NOW = 1_795_399_200_000;

function frameOf(scrapes: number): Frame {
  const random = seeded(scrapes);
  const times = Array.from({ length: scrapes }, (_, index) => NOW + index * 15_000);
  const entities = [
    "",
    ...Array.from({ length: 20 }, (_, index) => `c0000000-0000-4000-8000-${String(index).padStart(12, "0")}`),
  ];
  const columns = entities.flatMap((entity) =>
    METRICS.map((metric) => {
      let value = Math.floor(random() * 1000);
      const step = (): number => (value += Math.floor(random() * 5) - 2);
      return { entity, metric, values: times.map(() => (metric.endsWith("bytes") ? step() * 4096 : step() / 1000)) };
    }),
  );
  return { times, columns };
}

function benchCodec(): void {
  for (const scrapes of [4, 20, 240]) {
    const frame = frameOf(scrapes);
    const samples = scrapes * frame.columns.length;
    const packed = packFrame(frame);
    const name = `${scrapes} scrapes of ${frame.columns.length} series`;
    const turns = Math.ceil(200_000 / samples);
    const perMillion = (ms: number): number => ms * (1000 / samples);
    report({ bench: "codec", case: name, metric: "stored", value: packed.length / samples, unit: "B/sample" });
    report({
      bench: "codec",
      case: name,
      metric: "pack",
      value: perMillion(cpuMs(turns, () => packFrame(frame))),
      unit: "s/M samples",
    });
    report({
      bench: "codec",
      case: name,
      metric: "read",
      value: perMillion(cpuMs(turns, () => readColumns(packed, () => true))),
      unit: "s/M samples",
    });
    const one = cpuMs(turns, () =>
      readColumns(packed, (entity, metric) => entity === "" && metric === "cpu_used_cores"),
    );
    report({ bench: "codec", case: name, metric: "readOneColumn", value: one, unit: "ms" });
    if (frameBytes(packed).length !== 1) throw new Error("a packed frame is a chunk of one frame");
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
    const random = seeded(hosts);
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
await benchIngest();
printTable();
process.exit(0);
