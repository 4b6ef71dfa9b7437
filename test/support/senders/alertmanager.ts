// Alertmanager as an operator would set it up for Drover, only faster.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "./prometheus.ts";
import { type Running, startProgram } from "./process.ts";

export type Alertmanager = Running & {
  /** As Prometheus would; with `endsAt` in the past it is over. */
  fire: (labels: Record<string, string>, annotations: Record<string, string>, endsAt?: Date) => Promise<void>;
};

export async function startAlertmanager({ url, token }: Target): Promise<Alertmanager> {
  const config = {
    route: {
      receiver: "drover",
      group_by: ["alertname"],
      group_wait: "100ms",
      group_interval: "1s",
      repeat_interval: "1h",
    },
    receivers: [{ name: "drover", webhook_configs: [{ url, http_config: { authorization: { credentials: token } } }] }],
  };
  const running = await startProgram({
    program: "prometheus-alertmanager",
    args: (port, folder) => {
      const file = join(folder, "alertmanager.yml");
      // JSON is YAML.
      writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
      return [
        `--config.file=${file}`,
        `--storage.path=${join(folder, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
        // Alone: no port for others of its kind.
        "--cluster.listen-address=",
        "--log.level=warn",
      ];
    },
    readyPath: "/-/ready",
  });
  const fire: Alertmanager["fire"] = async (labels, annotations, endsAt) => {
    const answer = await fetch(`${running.url}/api/v2/alerts`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify([
        { labels, annotations, ...(endsAt === undefined ? {} : { endsAt: endsAt.toISOString() }) },
      ]),
    });
    if (!answer.ok) throw new Error(`Alertmanager answered ${answer.status}: ${await answer.text()}`);
  };
  return { ...running, fire };
}
