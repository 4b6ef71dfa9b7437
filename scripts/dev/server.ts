// The Worker in workerd with a local D1, as `npm run dev`, the demo, the lab and the benchmarks use it.
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";

export type DevOptions = {
  /** 0: any free one. */
  port: number;
  /** Where database and keys are kept; made when it is not there. */
  stateDir: string;
  /** False: the scheduled handler runs only when it is told to. True unless given. */
  isScheduled?: boolean;
  /** Where workerd's inspector listens; nowhere unless given. */
  inspectorPort?: number;
  /** Another entry point than the Worker's own, and bindings that it has besides. */
  entry?: string;
  bindings?: Record<string, string>;
};

export type Dev = {
  url: string;
  adminToken: string;
  /** The token was made by this start: show it, it is the only time. */
  isNewToken: boolean;
  /** `whpk_…`: what agents pin. */
  commandPublicKey: string;
  /** Runs the scheduled handler now. */
  runSchedule: () => Promise<void>;
  /** Ends workerd. */
  stop: () => Promise<void>;
};

const ROOT = resolve(import.meta.dirname, "../..");
const SCHEDULE_MS = 60_000;
/** workerd is given this long to end by itself, ms. */
const STOP_MS = 5000;

export async function startDev({ stateDir, isScheduled = true, ...options }: DevOptions): Promise<Dev> {
  const state = resolve(stateDir);
  mkdirSync(state, { recursive: true });
  const token = adminToken(state);
  const signingKey = kept(join(state, "command-signing-key"), () => `whsk_${randomBytes(32).toString("base64")}`).value;
  const secrets = { ADMIN_TOKEN: token.value, COMMAND_SIGNING_KEY: signingKey };
  const miniflare = await startMiniflare(state, secrets, options);
  try {
    await miniflare.ready;
    const url = (await miniflare.unsafeGetDirectURL()).origin;
    await applyMigrations(await miniflare.getD1Database("DB"));
    const worker = await miniflare.getWorker();
    const runSchedule = async (): Promise<void> => {
      await worker.scheduled({ cron: "* * * * *" });
    };
    const timer = isScheduled ? setInterval(reported(runSchedule), SCHEDULE_MS) : undefined;
    return {
      url,
      adminToken: token.value,
      isNewToken: token.isNew,
      commandPublicKey: publicKeyOf(signingKey),
      runSchedule,
      stop: async () => {
        clearInterval(timer);
        await Promise.race([miniflare.dispose(), new Promise((done) => setTimeout(done, STOP_MS).unref())]);
      },
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

const reported = (runSchedule: () => Promise<void>) => (): void => {
  runSchedule().catch((error: unknown) => console.error("scheduled:", error));
};

/** Bindings, Workflows and triggers are those of wrangler.toml; only what a developer's machine needs is different. */
async function startMiniflare(
  state: string,
  secrets: Record<string, string>,
  { port, inspectorPort, entry, bindings = {} }: Omit<DevOptions, "stateDir" | "isScheduled">,
): Promise<Miniflare> {
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml"));
  const { modulesRules: _, ...options } = workerOptions;
  return new Miniflare(
    convertV4MiniflareOptions({
      ...options,
      // What listens at `port` is the Worker itself. Miniflare's router, which a Worker on Cloudflare does not have, would
      // take every request and answer through its hands; the scheduled handler alone is called through it.
      unsafeDirectSockets: [{ host: "127.0.0.1", port }],
      host: "127.0.0.1",
      port: 0,
      ...(inspectorPort === undefined ? {} : { inspectorPort }),
      cf: false,
      log: new Log(LogLevel.WARN),
      resourcePersistencePath: state,
      modules: [{ type: "ESModule", path: "index.js", contents: await bundle(entry) }],
      bindings: { ...(options.bindings as object), LOCAL: "yes", ...secrets, ...bindings },
    }),
  );
}

function adminToken(state: string): { value: string; isNew: boolean } {
  const given = process.env["DROVER_ADMIN_TOKEN"];
  if (given === undefined || given === "")
    return kept(join(state, "admin-token"), () => `drv_${randomBytes(32).toString("base64url")}`);
  if (!given.startsWith("drv_") || given.length < 24)
    throw new Error("DROVER_ADMIN_TOKEN must start with drv_ and have at least 24 characters");
  return { value: given, isNew: false };
}

/** The secret in `path`, made and written for its owner only when it is not there. */
function kept(path: string, make: () => string): { value: string; isNew: boolean } {
  try {
    return { value: readFileSync(path, "utf8").trim(), isNew: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const value = make();
    writeFileSync(path, `${value}\n`, { mode: 0o600 });
    return { value, isNew: true };
  }
}

async function bundle(entry = join(ROOT, "worker/index.ts")): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "error",
  });
  const [file] = outputFiles;
  if (!file) throw new Error("esbuild gave no file");
  return file.text;
}

type Database = Awaited<ReturnType<Miniflare["getD1Database"]>>;

/** Applies what is missing, each file as one batch, and keeps count where `wrangler d1 migrations` does. */
async function applyMigrations(database: Database): Promise<void> {
  await database
    .prepare(
      "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    )
    .run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all<{ name: string }>();
  const applied = new Set(results.map((row) => row.name));
  const folder = join(ROOT, "migrations");
  for (const name of readdirSync(folder)
    .filter((file) => file.endsWith(".sql") && !applied.has(file))
    .toSorted()) {
    const statements = readFileSync(join(folder, name), "utf8").split("--> statement-breakpoint");
    await database.batch([
      ...statements.map((statement) => database.prepare(statement)),
      database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
    ]);
  }
}

/** The public half of a `whsk_` seed, as agents pin it. */
function publicKeyOf(secret: string): string {
  const seed = Buffer.from(secret.slice("whsk_".length), "base64").subarray(0, 32);
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]),
    format: "der",
    type: "pkcs8",
  });
  const der = createPublicKey(key).export({ format: "der", type: "spki" });
  return `whpk_${der.subarray(-32).toString("base64")}`;
}
