// The agent's configuration file. Secrets may stand in the environment instead.
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { driverName, operatorId } from "../../worker/model/wire/common.ts";
import { addressChecks } from "./continuity.ts";
import { hooks } from "./hooks.ts";

const httpUrl = z.url({ protocol: /^https?$/, error: "an http or https address" });
const port = z.int().min(0).max(65_535);
const periodMs = z.int().min(50).max(86_400_000);

const ANY_ADDRESS = ["0.0.0.0", "::", "[::]"];

export const agentConfig = z.strictObject({
  /** Where Drover is; `DROVER_URL` wins. */
  url: httpUrl,
  /** Scope `agent`, this host only; `DROVER_TOKEN` wins. */
  token: z.string().min(1),
  hostId: operatorId,
  cluster: operatorId,
  /** Ledger, runs, unsent events and telemetry: must survive a restart. */
  stateDir: z.string().min(1),
  /** Keys that may sign commands; two while one is being replaced. */
  commandPublicKeys: z
    .array(z.string().regex(/^whpk_[A-Za-z0-9+/]{43}=$/, "whpk_ and the base64 of a 32-byte Ed25519 public key"))
    .min(1),
  /** Shared by the hosts of a cluster and never sent to Drover: what one agent tells another is proven with it. */
  peerSecret: z.string().min(16),
  peer: z
    .strictObject({
      listenHost: z.string().min(1),
      /** 0: any free port, kept over restarts while it stays free. */
      port: port.default(0),
      /** What other agents must call, when it is not listenHost and port. */
      advertiseUrl: httpUrl.optional(),
    })
    .refine((peer) => peer.advertiseUrl !== undefined || !ANY_ADDRESS.includes(peer.listenHost), {
      message: "other agents cannot call an address that means all of them: set advertiseUrl",
      path: ["advertiseUrl"],
    }),
  /** Takes signed commands directly, where the host can be reached from outside. */
  webhook: z.strictObject({ listenHost: z.string().min(1), port }).optional(),
  /** The WebSocket over which commands come at once, also where nobody can reach this host; `off`: only HTTP. */
  channel: z.enum(["auto", "off"]).default("auto"),
  /** What is run before VMs leave and after they have arrived; the same on every host of a cluster. */
  hooks,
  /** Where VMs must answer after they have left this host; the same on every host of a cluster. */
  addressChecks,
  /** The driver reads its own settings from here. */
  driver: z.looseObject({ name: driverName }),
  heartbeatMs: periodMs.default(15_000),
  sampleMs: periodMs.default(15_000),
  batchMs: periodMs.default(60_000),
  dirtyCurveEveryMs: periodMs.default(300_000),
  policyFile: z.string().min(1).default("/etc/drover/policy.json"),
  /** While it exists, nothing new is started. */
  stopFile: z.string().min(1).default("/etc/drover/STOP"),
});
/** As written, defaults left out. */
export type AgentConfig = z.input<typeof agentConfig>;
/** As used, defaults filled in. */
export type Settings = z.output<typeof agentConfig>;

function describe(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`).join("; ");
}

/** Fills in the defaults. Throws with every field that is wrong. */
export function parseConfig(config: unknown): Settings {
  const parsed = agentConfig.safeParse(config);
  if (!parsed.success) throw new Error(`the configuration is wrong: ${describe(parsed.error)}`);
  return parsed.data;
}

/** Reads the file and lays `DROVER_URL` and `DROVER_TOKEN` over it. */
export function readConfig(file: string, env: Record<string, string | undefined>): Settings {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (typeof content !== "object" || content === null) throw new Error(`${file} must hold a JSON object`);
  return parseConfig({
    ...content,
    ...(env["DROVER_URL"] ? { url: env["DROVER_URL"] } : {}),
    ...(env["DROVER_TOKEN"] ? { token: env["DROVER_TOKEN"] } : {}),
  });
}

/** What works but should not be so, each with what to do. */
export function configWarnings(file: string, settings: Settings): string[] {
  const warnings: string[] = [];
  if ((statSync(file).mode & 0o077) !== 0)
    warnings.push(`${file} holds secrets and others may read it: chmod 600 ${file}`);
  const url = new URL(settings.url);
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol === "http:" && !loopback)
    warnings.push("the token goes to Drover unencrypted: use an https address in url");
  return warnings;
}
