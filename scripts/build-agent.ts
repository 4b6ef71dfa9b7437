// Bundles the agent into one file that runs on Node 20 and later with nothing beside it.
import { mkdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const result = await build({
  entryPoints: ["scripts/agent/main.ts"],
  outfile: "dist/drover-agent.js",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  banner: { js: "#!/usr/bin/env node" },
  legalComments: "eof",
  metafile: true,
});
// Alone on a hypervisor a .js file is CommonJS; in this folder it must be told, as the project says otherwise.
mkdirSync("dist", { recursive: true });
writeFileSync("dist/package.json", `${JSON.stringify({ type: "commonjs" })}\n`);
const bytes = result.metafile.outputs["dist/drover-agent.js"]?.bytes ?? 0;
process.stdout.write(`dist/drover-agent.js: ${Math.round(bytes / 1024)} kB\n`);
