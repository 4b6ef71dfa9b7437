// What real senders put on the wire, and what they do with each answer: Drover's answers are chosen by it.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startOtel } from "../../support/senders/otel.ts";
import { type Running, whyNoSenders } from "../../support/senders/process.ts";
import {
  type Jobs,
  startLibvirtExporter,
  startNodeExporter,
  startPrometheus,
  startVmagent,
  TEST_VM,
} from "../../support/senders/prometheus.ts";
import { inflated, type Kept, type Sink, startSink } from "../../support/senders/sink.ts";
import { until } from "../../support/until.ts";

const missing = whyNoSenders();
// oxlint-disable-next-line no-console -- what is left out must be seen
if (missing !== null) console.warn(`real senders of telemetry are not tested: ${missing}`);

const TOKEN = "drv_a_token_of_this_test_only";
const PATH = "/v1/prometheus/write?host_label=host&vm_label=uuid";
const HOST = "hv-01";
const LIMIT_MS = 20_000;

let sink: Sink;
const running: Running[] = [];

beforeEach(async () => {
  sink = await startSink(HOST);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ stop }) => stop()));
  await sink.close();
});

const seen = (holds: (kept: Kept[]) => boolean): Promise<Kept[]> => until(() => sink.kept, holds, LIMIT_MS);
const holdsText = (kept: Kept[], text: string): boolean => kept.some((one) => inflated(one).includes(text));

const accepted = (kept: Kept[]): number => kept.filter(({ status }) => status === 204).length;

/** Whether what was first answered `status` came again. */
function isRepeated(kept: Kept[], status: number): boolean {
  const at = kept.findIndex((one) => one.status === status);
  const first = kept[at];
  if (first === undefined) throw new Error(`nothing was answered ${status}`);
  return kept.slice(at + 1).some((one) => inflated(one).equals(inflated(first)));
}

function expectRepeats(kept: Kept[]): void {
  expect([503, 429, 400].map((status) => [status, isRepeated(kept, status)])).toEqual([
    [503, true],
    [429, true],
    [400, false],
  ]);
}

describe.skipIf(missing !== null)("remote write", { timeout: 60_000 }, () => {
  const exporters: Running[] = [];
  let jobs: Jobs;
  beforeAll(async () => {
    const [node, libvirt] = await Promise.all([startNodeExporter(), startLibvirtExporter()]);
    exporters.push(node, libvirt);
    jobs = { node, libvirt };
  }, 60_000);
  afterAll(async () => void (await Promise.all(exporters.map(({ stop }) => stop()))));

  const starters = { prometheus: startPrometheus, vmagent: startVmagent };
  type Name = keyof typeof starters;
  const start = async (name: Name): Promise<void> => {
    running.push(await starters[name]({ url: `${sink.url}${PATH}`, token: TOKEN }, { host: HOST }, jobs));
  };

  test.each<Name>(["prometheus", "vmagent"])(
    "%s sends the host and its VM, by label and with its token",
    async (name) => {
      await start(name);
      const texts = ["node_load1", "libvirt_domain_info_cpu_time", TEST_VM, HOST];
      const kept = await seen((all) => texts.every((one) => holdsText(all, one)));
      expect(kept[0]).toMatchObject({
        path: PATH,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          "content-encoding": "snappy",
          "content-type": "application/x-protobuf",
          "x-prometheus-remote-write-version": "0.1.0",
        },
      });
    },
  );

  test.each<Name>(["prometheus", "vmagent"])("%s sends again after 503 and 429, and never after 400", async (name) => {
    sink.statuses = [503, 429, 400];
    await start(name);
    expectRepeats(await seen((all) => accepted(all) >= 6));
  });
});

describe.each(["json", "protobuf"] as const)("OTLP as %s", (format) => {
  const start = () => startOtel({ url: `${sink.url}/v1/otlp/v1/metrics`, token: TOKEN }, format, { "host.name": HOST });

  test("the SDK sends this machine's metrics, gzipped and with its token", async () => {
    const otel = start();
    const [first] = await seen((all) => holdsText(all, "system.cpu.time")).finally(otel.stop);
    expect(first).toMatchObject({
      path: "/v1/otlp/v1/metrics",
      headers: {
        authorization: `Bearer ${TOKEN}`,
        "content-encoding": "gzip",
        "content-type": format === "json" ? "application/json" : "application/x-protobuf",
      },
    });
    expect(holdsText(sink.kept, HOST)).toBe(true);
  });

  test("the SDK sends again after 503 and 429, and never after 400", async () => {
    sink.statuses = [503, 429, 400];
    const otel = start();
    expectRepeats(await seen((all) => accepted(all) >= 3).finally(otel.stop));
  });
});
