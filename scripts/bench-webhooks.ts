// `npm run bench:webhooks`: deliveries to many webhooks of which some hang and some fail, against the same without those. JSON lines
// on stdout, a table on stderr. Machines are shared: compare the cases of one run.
import { parseArgs } from "node:util";
import { printTable, report } from "./bench/report.ts";
import { runChat } from "./bench/webhooks/chat.ts";
import { type Plan, type Result, run } from "./bench/webhooks/run.ts";

const HELP = `usage: npm run bench:webhooks -- [options]

Real requests to a server on loopback, by Drover under miniflare. With 200 events: 8,000 deliveries that can come through and
2,000 that cannot, all of which wait when the webhooks are resumed.

  --events N    events, each of which goes to every webhook (200)
  --case NAME   healthy, troubled, heap or chat-ack; may be given several times
  --help        this text

healthy: 40 webhooks that take everything. troubled: the same with 5 that hang and 5 that fail. heap: troubled, with the
isolate's heap watched, which makes everything slower. chat-ack: how long 300 commands each of Slack and Discord, twenty a
second, wait for their acknowledgement while those before them are carried out.`;

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "200" },
    case: { type: "string", multiple: true },
    help: { type: "boolean" },
  },
});
if (values.help) {
  console.error(HELP);
  process.exit(0);
}
const events = Number(values.events);
if (!Number.isInteger(events) || events < 4) {
  console.error("--events must be a whole number from 4 on");
  process.exit(2);
}

const HEALTHY: Plan = { events, good: 40, hanging: 0, failing: 0, timeoutMs: 2000, withHeap: false };
const CASES: Record<string, Plan> = {
  healthy: HEALTHY,
  troubled: { ...HEALTHY, hanging: 5, failing: 5 },
  heap: { ...HEALTHY, hanging: 5, failing: 5, withHeap: true },
};
const CHAT = "chat-ack";
const known = [...Object.keys(CASES), CHAT];
const wanted = values.case ?? known;
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`no such case: ${unknown.join(", ")}; there are ${known.join(", ")}`);
  process.exit(2);
}

const quantile = (sorted: readonly number[], ratio: number): number =>
  sorted[Math.floor((sorted.length - 1) * ratio)] ?? Number.NaN;

function tell(name: string, result: Result): void {
  const figure = (metric: string, value: number, unit: string) =>
    report({ bench: "webhooks", case: name, metric, value, unit });
  const { deliverable, delivered, tookMs, servedMs, heapBytes } = result;
  figure("deliverable", deliverable, "deliveries");
  figure("delivered", delivered, "deliveries");
  figure("duplicates", result.duplicates, "deliveries");
  figure("took", tookMs / 1000, "s");
  figure("rate", delivered / (tookMs / 1000), "deliveries/s");
  figure("served p50", quantile(servedMs, 0.5) / 1000, "s");
  figure("served max", quantile(servedMs, 1) / 1000, "s");
  figure("inFlightMax of one webhook", result.inFlightMax, "requests");
  figure("attempts at those that hang", result.attemptsAtHanging, "requests");
  figure("attempts at those that fail", result.attemptsAtFailing, "requests");
  for (const [quarter, bytes] of (heapBytes ?? []).entries())
    figure(`heapMegabytesMax quarter ${quarter + 1}`, bytes / 1e6, "MB");
}

async function tellChat(): Promise<void> {
  const result = await runChat({ requests: 600, everyMs: 50 });
  for (const [platform, tookMs] of Object.entries(result))
    for (const [metric, ratio] of [
      ["p50", 0.5],
      ["p99", 0.99],
      ["max", 1],
    ] as const)
      report({
        bench: "webhooks",
        case: CHAT,
        metric: `${platform} ${metric}`,
        value: quantile(tookMs, ratio),
        unit: "ms",
      });
}

for (const name of wanted) {
  if (name === CHAT) {
    console.error(`… ${name}`);
    await tellChat();
  }
  const plan = CASES[name];
  if (plan === undefined) continue;
  console.error(`… ${name}`);
  tell(name, await run(plan));
}
printTable();
process.exit();
