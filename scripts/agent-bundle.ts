// The agent as one file that runs on Node 20 and later with nothing beside it.
import { build, type Plugin } from "esbuild";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "./agent/service/flags.ts";

/** zod carries its messages in fifty languages; the agent speaks one of them, which zod imports by itself. */
const oneLanguage: Plugin = {
  name: "one-language",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ path }) => ({ path, namespace: "one-language" }));
    onLoad({ filter: /.*/, namespace: "one-language" }, () => ({ contents: "export {};" }));
  },
};

/** Writes the file and returns its size in bytes. Names stay, so that what it says when it breaks can be read. */
export async function bundleAgent(outfile: string): Promise<number> {
  const { metafile } = await build({
    entryPoints: ["scripts/agent/main.ts"],
    absWorkingDir: `${import.meta.dirname}/..`,
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    banner: { js: `#!/usr/bin/env -S ${[...NODE_ENVIRONMENT, "node", ...NODE_FLAGS].join(" ")}` },
    legalComments: "eof",
    metafile: true,
    minifyWhitespace: true,
    minifySyntax: true,
    plugins: [oneLanguage],
  });
  return Object.values(metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
}
