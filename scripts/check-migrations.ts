// Fails when `worker/store/schema.ts` says something that no file in `migrations/` does: drizzle-kit, run on a copy of the
// migrations, must have nothing to generate.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const copy = mkdtempSync(join(process.cwd(), ".drizzle-check-"));
try {
  cpSync("migrations", copy, { recursive: true });
  const before = readdirSync(copy).length;
  const run = spawnSync(
    "drizzle-kit",
    [
      "generate",
      "--dialect",
      "sqlite",
      "--schema",
      "./worker/store/schema.ts",
      "--out",
      copy.slice(process.cwd().length + 1),
    ],
    { encoding: "utf8" },
  );
  if (run.status !== 0) throw new Error(`${run.stdout}\n${run.stderr}`);
  if (readdirSync(copy).length !== before) {
    console.error("A migration is missing: run `npm run db:generate` and commit what it writes.");
    process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
