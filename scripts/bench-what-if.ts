// `node scripts/bench-what-if.ts`: how small a heap the largest what-if can be answered in. JSON lines on stdout, a table on
// stderr. An isolate has 128 MB for its heap and the bytes of bodies together.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { printTable, report } from "./bench/report.ts";
import { LARGE_BYTES, whatIfBody } from "./bench/what-if/body.ts";

const { values } = parseArgs({
  options: { hosts: { type: "string", default: "1000" }, bytes: { type: "string", default: String(LARGE_BYTES) } },
});
const MB_MAX = 1024;
/** Found to within so much. */
const STEP_MB = 4;

const directory = mkdtempSync(join(tmpdir(), "drover-bench-"));
const at = (name: string): string => join(directory, name);

async function bundle(): Promise<void> {
  await build({
    entryPoints: [resolve(import.meta.dirname, "bench/what-if/request.ts")],
    bundle: true,
    outfile: at("request.mjs"),
    format: "esm",
    platform: "node",
    target: "es2024",
    logLevel: "error",
  });
}

/** The status that came, or null: the heap was too small. */
function statusWithin(megabytes: number): number | null {
  rmSync(at("answer"), { force: true });
  const flags = [`--max-heap-size=${megabytes}`, "--max-semi-space-size=2", "--js-base-64"];
  const run = spawnSync(process.execPath, [...flags, at("request.mjs"), at("body"), at("answer")], { stdio: "pipe" });
  if (run.status === 0) {
    const status = Number(readFileSync(at("answer"), "utf8").split("\n", 1)[0]);
    if (status !== 200) throw new Error(`${run.stderr}${readFileSync(at("answer"), "utf8").slice(0, 2000)}`);
    return status;
  }
  if (run.stderr.includes("heap")) return null;
  throw new Error(run.stderr.toString());
}

/** MB of heap, to within `STEP_MB`, in which the body is answered with 200. */
function heapNeeded(body: string): number {
  writeFileSync(at("body"), body);
  if (statusWithin(MB_MAX) === null) throw new Error(`not answered within ${MB_MAX} MB`);
  let [low, high] = [0, MB_MAX / STEP_MB];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (statusWithin(middle * STEP_MB) === 200) high = middle;
    else low = middle;
  }
  return high * STEP_MB;
}

try {
  await bundle();
  const hosts = Number(values.hosts);
  for (const [name, body] of [
    ["what-if-2", whatIfBody(2, 0)],
    [`what-if-${hosts}`, whatIfBody(hosts, Number(values.bytes))],
  ] as const) {
    const figure = (metric: string, value: number): void =>
      report({ bench: "what-if", case: name, metric, value: value, unit: "MB" });
    figure("bodyMegabytes", body.length / 1e6);
    figure("heapMegabytesMin", heapNeeded(body));
  }
  printTable();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
