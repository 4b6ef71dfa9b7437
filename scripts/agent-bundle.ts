// The agent as one file that runs on Node 20 and later with nothing beside it.
import { build } from "esbuild";

/** Writes the file and returns its size in bytes. */
export async function bundleAgent(outfile: string): Promise<number> {
  const { metafile } = await build({
    entryPoints: ["scripts/agent/main.ts"],
    absWorkingDir: `${import.meta.dirname}/..`,
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    banner: { js: "#!/usr/bin/env node" },
    legalComments: "eof",
    metafile: true,
  });
  return Object.values(metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
}
