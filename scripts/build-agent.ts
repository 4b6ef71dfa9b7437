// Bundles the agent into `dist/drover-agent.js`, which is what goes to hypervisors.
import { mkdirSync, writeFileSync } from "node:fs";
import { bundleAgent } from "./agent-bundle.ts";

// Alone on a hypervisor a .js file is CommonJS; in this folder it must be told, as the project says otherwise.
mkdirSync("dist", { recursive: true });
writeFileSync("dist/package.json", `${JSON.stringify({ type: "commonjs" })}\n`);
const bytes = await bundleAgent("dist/drover-agent.js");
process.stdout.write(`dist/drover-agent.js: ${Math.round(bytes / 1024)} kB\n`);
