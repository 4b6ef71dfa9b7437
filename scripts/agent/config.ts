// The agent's configuration file. Secrets may stand in the environment instead.
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { driverName, operatorId } from "../../worker/model/wire/common.ts";
import { addressChecks } from "./continuity.ts";
import { hooks } from "./hooks.ts";
import { describeIssues } from "./issues.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";

const httpUrl = z.url({ protocol: /^https?$/, error: "an http or https address" });
const port = z.int().min(0).max(65_535);
const periodMs = z.int().min(50).max(86_400_000);

const logLevel = z.enum(LOG_LEVELS);
const logFormat = z.enum(LOG_FORMATS);

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
  log: z.strictObject({ level: logLevel.default("info"), format: logFormat.default("json") }).prefault({}),
});
/** As written, defaults left out. */
export type AgentConfig = z.input<typeof agentConfig>;
/** As used, defaults filled in. */
export type Settings = z.output<typeof agentConfig>;

/** Environment variables of the agent, and the field of the file over which each of them wins. */
export const ENVIRONMENT = {
  DROVER_URL: ["url"],
  DROVER_TOKEN: ["token"],
  DROVER_HOST_ID: ["hostId"],
  DROVER_CLUSTER: ["cluster"],
  DROVER_STATE_DIR: ["stateDir"],
  DROVER_PEER_SECRET: ["peerSecret"],
  DROVER_LOG_LEVEL: ["log", "level"],
  DROVER_LOG_FORMAT: ["log", "format"],
} as const satisfies Record<string, readonly string[]>;
/** Names the file itself, where `--config` does not. */
export const CONFIG_VARIABLE = "DROVER_CONFIG";

type Environment = Record<string, string | undefined>;

/** A configuration that cannot be used: trying again changes nothing. */
export class ConfigError extends Error {}

/** Fills in the defaults. Throws ConfigError with every field that is wrong. */
export function parseConfig(config: unknown): Settings {
  const parsed = agentConfig.safeParse(config);
  if (!parsed.success) throw new ConfigError(`the configuration is wrong: ${describeIssues(parsed.error)}`);
  return parsed.data;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The content with the value at that place; what stands in the way is left for the schema to refuse. */
function laidOver(content: Record<string, unknown>, [field, ...rest]: readonly string[], value: string) {
  if (field === undefined) return content;
  const [inner] = rest;
  if (inner === undefined) return { ...content, [field]: value };
  const below = content[field] ?? {};
  return isObject(below) ? { ...content, [field]: { ...below, [inner]: value } } : content;
}

/** Reads the file and lays the variables of `ENVIRONMENT` that are set, and not empty, over it. Throws ConfigError. */
export function readConfig(file: string, env: Environment): Settings {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (isMissing) throw new ConfigError(`there is no ${file}: write it, or name another with --config`);
    throw new ConfigError(`${file} cannot be read as JSON`, { cause: error });
  }
  if (!isObject(content)) throw new ConfigError(`${file} must hold a JSON object`);
  let merged = content;
  for (const [variable, field] of Object.entries(ENVIRONMENT)) {
    const value = env[variable];
    if (value) merged = laidOver(merged, field, value);
  }
  return parseConfig(merged);
}

/** What must reach no log. */
export const secretsOf = ({ token, peerSecret }: Settings): string[] => [token, peerSecret];

/** What works but should not be so, each with what to do. */
export function configWarnings(file: string, settings: Settings, env: Environment): string[] {
  const warnings: string[] = [];
  // systemd gives a service its own copy, whose bits say nothing of who may read it.
  const isCredential = env["CREDENTIALS_DIRECTORY"] !== undefined && file.startsWith(env["CREDENTIALS_DIRECTORY"]);
  if (!isCredential && (statSync(file).mode & 0o077) !== 0)
    warnings.push(`${file} holds secrets and others may read it: chmod 600 ${file}`);
  const url = new URL(settings.url);
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol === "http:" && !loopback)
    warnings.push("the token goes to Drover unencrypted: use an https address in url");
  const known = new Set([...Object.keys(ENVIRONMENT), CONFIG_VARIABLE]);
  const unknown = Object.keys(env).filter((name) => name.startsWith("DROVER_") && !known.has(name));
  if (unknown.length > 0)
    warnings.push(`${unknown.join(", ")} means nothing to the agent; it reads ${[...known].join(", ")}`);
  return warnings;
}
