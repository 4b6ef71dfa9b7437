// Prometheus, vmagent and the exporters they scrape, as an operator would set them up, only faster.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Running, startProgram } from "./process.ts";

/** Where samples are sent, and with which bearer token. */
export type Target = { url: string; token: string };

/** Jobs by name, each with the addresses it scrapes, every second. */
export type Jobs = Record<string, Running>;

export const startNodeExporter = (): Promise<Running> =>
  startProgram({
    program: "prometheus-node-exporter",
    args: (port) => [`--web.listen-address=127.0.0.1:${port}`, "--log.level=error"],
    readyPath: "/metrics",
  });

/** The only VM of libvirt's own `test:///default`, a hypervisor that exists in memory only. */
export const TEST_VM = "6695eb01-f6a4-8304-79aa-97f2502e193f";

export const startLibvirtExporter = (): Promise<Running> =>
  startProgram({
    program: "prometheus-libvirt-exporter",
    args: (port) => [`--web.listen-address=127.0.0.1:${port}`, "--libvirt.uri=test:///default"],
    readyPath: "/metrics",
  });

const scrapeConfigs = (jobs: Jobs): unknown[] =>
  Object.entries(jobs).map(([name, { url }]) => ({
    job_name: name,
    scrape_interval: "1s",
    scrape_timeout: "1s",
    static_configs: [{ targets: [new URL(url).host] }],
  }));

/** `labels` are added to all that is sent, and not to what Prometheus answers itself. */
export function startPrometheus(target: Target, labels: Record<string, string>, jobs: Jobs): Promise<Running> {
  const config = {
    global: { external_labels: labels },
    scrape_configs: scrapeConfigs(jobs),
    remote_write: [
      {
        url: target.url,
        authorization: { credentials: target.token },
        send_exemplars: false,
        metadata_config: { send: true, send_interval: "2s" },
        queue_config: { batch_send_deadline: "1s", max_backoff: "1s", retry_on_http_429: true },
      },
    ],
  };
  return startProgram({
    program: "prometheus",
    args: (port, folder) => {
      const file = join(folder, "prometheus.yml");
      // JSON is YAML.
      writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
      return [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
        "--log.level=warn",
      ];
    },
    readyPath: "/-/ready",
  });
}

/** `labels` are added to all that is sent. */
export const startVmagent = (target: Target, labels: Record<string, string>, jobs: Jobs): Promise<Running> =>
  startProgram({
    program: "vmagent",
    args: (port, folder) => {
      const file = join(folder, "scrape.yml");
      writeFileSync(file, JSON.stringify({ scrape_configs: scrapeConfigs(jobs) }));
      const tokenFile = join(folder, "token");
      writeFileSync(tokenFile, target.token, { mode: 0o600 });
      return [
        `-promscrape.config=${file}`,
        `-httpListenAddr=127.0.0.1:${port}`,
        `-remoteWrite.url=${target.url}`,
        `-remoteWrite.bearerTokenFile=${tokenFile}`,
        `-remoteWrite.tmpDataPath=${join(folder, "data")}`,
        "-remoteWrite.flushInterval=1s",
        "-loggerLevel=WARN",
        ...Object.entries(labels).map(([name, value]) => `-remoteWrite.label=${name}=${value}`),
      ];
    },
    readyPath: "/health",
  });

/** Time in ms since 1970, and value. */
export type Sample = readonly [timeMs: number, value: number];

export type Asking = {
  /** The samples as scraped, of the only series that matches, from `from` to `to`. */
  raw: (selector: string, from: number, to: number) => Promise<Sample[]>;
  /** What an expression gives at each of these times; a time at which it gives nothing is left out. */
  at: (expression: string, times: readonly number[]) => Promise<Sample[]>;
};

type Result = { metric: unknown; value?: [number, string]; values?: [number, string][] };

/** Questions to Prometheus's own API. */
export function createAsking({ url }: Running): Asking {
  const query = async (text: string, timeMs: number): Promise<Result | null> => {
    const response = await fetch(
      `${url}/api/v1/query?${new URLSearchParams({ query: text, time: `${timeMs / 1000}` })}`,
    );
    if (!response.ok) throw new Error(`Prometheus answered ${response.status}: ${await response.text()}`);
    const { data } = (await response.json()) as { data: { result: Result[] } };
    if (data.result.length > 1) throw new Error(`${text} is more than one series`);
    return data.result[0] ?? null;
  };
  const sample = ([seconds, value]: [number, string]): Sample => [Math.round(seconds * 1000), Number(value)];
  return {
    raw: async (selector, from, to) => ((await query(`${selector}[${to - from}ms]`, to))?.values ?? []).map(sample),
    at: async (expression, times) => {
      const results = await Promise.all(times.map((time) => query(expression, time)));
      return results.flatMap((result) => (result?.value === undefined ? [] : [sample(result.value)]));
    },
  };
}
