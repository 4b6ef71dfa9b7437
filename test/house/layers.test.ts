// The layer table of ARCHITECTURE.md is a lint rule; a breach planted in each layer must be found by it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const BREACHES: [file: string, line: string][] = [
  ["worker/model/planted.ts", 'import { sql } from "drizzle-orm";\nexport const x = sql;'],
  ["worker/model/planted.ts", 'import { openStore } from "../store/hosts.ts";\nexport const x = openStore;'],
  ["worker/model/planted.ts", 'import { readFileSync } from "node:fs";\nexport const x = readFileSync;'],
  ["worker/model/planted.ts", 'import { AppError } from "../errors.ts";\nexport const x = AppError;'],
  ["worker/model/planted.ts", "export const x = Date.now();"],
  ["worker/model/planted.ts", "export const x = Math.random();"],
  ["worker/model/planted.ts", 'export const x = fetch("https://drover.test");'],
  ["worker/model/planted.ts", "export const x = crypto.randomUUID();"],
  ["worker/routes/planted.ts", 'import { hosts } from "../store/schema.ts";\nexport const x = hosts;'],
  [
    "worker/routes/planted.ts",
    'import { postCommand } from "../adapters/agent-webhook.ts";\nexport const x = postCommand;',
  ],
  ["worker/services/planted.ts", 'import { Hono } from "hono";\nexport const x = Hono;'],
  ["worker/services/planted.ts", 'import { hosts } from "../store/schema.ts";\nexport const x = hosts;'],
  ["worker/services/planted.ts", 'import { idempotent } from "../http/idempotency.ts";\nexport const x = idempotent;'],
  ["worker/store/planted.ts", 'import { hear } from "../services/hosts.ts";\nexport const x = hear;'],
  ["worker/store/planted.ts", 'import { AppError } from "../errors.ts";\nexport const x = AppError;'],
  ["worker/adapters/planted.ts", 'import { hosts } from "../store/schema.ts";\nexport const x = hosts;'],
  ["worker/adapters/planted.ts", 'import { AppError } from "../errors.ts";\nexport const x = AppError;'],
  ["worker/workflows/planted.ts", 'import { hosts } from "../store/schema.ts";\nexport const x = hosts;'],
  ["worker/channel/planted.ts", 'import { hosts } from "../store/schema.ts";\nexport const x = hosts;'],
  [
    "worker/channel/planted.ts",
    'import { postCommand } from "../adapters/agent-webhook.ts";\nexport const x = postCommand;',
  ],
  ["worker/channel/planted.ts", 'import { Hono } from "hono";\nexport const x = Hono;'],
  [
    "worker/services/planted.ts",
    'import { HostChannel } from "../channel/host-channel.ts";\nexport const x = HostChannel;',
  ],
  ["worker/http/planted.ts", 'import { hear } from "../services/hosts.ts";\nexport const x = hear;'],
  ["worker/planted.ts", 'import worker from "./index.ts";\nexport const x = worker;'],
  ["worker/routes/planted.ts", 'import worker from "../index.ts";\nexport const x = worker;'],
  ["worker/services/planted.ts", 'import { createApp } from "../app.ts";\nexport const x = createApp;'],
  ["scripts/agent/planted.ts", 'import { makeDeps } from "../../worker/env.ts";\nexport const x = makeDeps;'],
  [
    "scripts/agent/planted.ts",
    'import { balance } from "../../worker/model/placement/balance.ts";\nexport const x = balance;',
  ],
];

const ALLOWED: [file: string, line: string][] = [
  [
    "worker/model/planted.ts",
    'import { z } from "zod";\nimport { MIB } from "./units.ts";\nexport const x = [z, MIB];',
  ],
  ["worker/model/policy/planted.ts", 'import { Cron } from "croner";\nexport const x = Cron;'],
  ["worker/model/webhooks/planted.ts", 'import ipaddr from "ipaddr.js";\nexport const x = ipaddr;'],
  ["worker/model/migration/planted.ts", 'import { MIB } from "../units.ts";\nexport const x = MIB;'],
  ["worker/services/planted.ts", 'import { AppError } from "../errors.ts";\nexport const x = AppError;'],
  [
    "worker/channel/planted.ts",
    'import { hear } from "../services/hosts.ts";\nimport { problemOf } from "../http/problem.ts";\nexport const x = [hear, problemOf];',
  ],
  [
    "scripts/agent/planted.ts",
    'import { command } from "../../worker/model/wire/command.ts";\nexport const x = command;',
  ],
];

/** The files of the cases, each under a name of its own, linted in one run of a copy of the rules. */
function lint(cases: [file: string, line: string][]): string[][] {
  const root = mkdtempSync(join(tmpdir(), "drover-layers-"));
  try {
    cpSync(".oxlintrc.json", join(root, ".oxlintrc.json"));
    const names = cases.map(([file, text], index) => {
      const name = file.replace("planted", `planted-${index}`);
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), `${text}\n`);
      return name;
    });
    const { stdout } = spawnSync("oxlint", ["-f", "json"], { cwd: root, encoding: "utf8" });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
    return names.map((name) => diagnostics.filter((found) => found.filename === name).map((found) => found.code));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

test("every planted breach is found, and what the table allows passes", () => {
  const found = lint([...BREACHES, ...ALLOWED]);
  for (const [index, [file, text]] of BREACHES.entries())
    expect(found[index]?.join(), `${file}: ${text}`).toMatch(/no-restricted-(imports|globals|properties)/);
  for (const [index, [file, text]] of ALLOWED.entries())
    expect(
      found[BREACHES.length + index]?.filter((code) => code.includes("restricted")),
      `${file}: ${text}`,
    ).toEqual([]);
});
