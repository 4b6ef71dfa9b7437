// `npm run dev`: the Worker on 127.0.0.1 with a local D1. No account, no network.
import { parseArgs } from "node:util";
import { stopSignal } from "./dev/signals.ts";

const HELP = `Usage: npm run dev -- [--port N] [--state DIR]

Runs Drover on 127.0.0.1 with a local database and calls the scheduled handler every minute.

  --port N     port to listen on (default 8787; 0: any free one)
  --state DIR  where the database and the keys are kept (default .drover/)
  --help       this text

DROVER_ADMIN_TOKEN sets the admin token (at least 24 characters, drv_…); without it one is made, stored under the state
folder and printed once. Keys of chat platforms (docs/chatops.md) and PUBLIC_URL are taken from the environment.
`;

const FROM_ENVIRONMENT = [
  "SLACK_SIGNING_SECRET",
  "SLACK_BOT_TOKEN",
  "SLACK_API_URL",
  "DISCORD_PUBLIC_KEY",
  "DISCORD_BOT_TOKEN",
  "DISCORD_API_URL",
  "PUBLIC_URL",
];

const bindings = (): Record<string, string> =>
  Object.fromEntries(
    FROM_ENVIRONMENT.flatMap((name) => {
      const value = process.env[name];
      return value === undefined || value === "" ? [] : [[name, value]];
    }),
  );

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "8787" },
      state: { type: "string", default: ".drover" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--port ${values.port} is not a port number`);
  const signal = stopSignal();
  const { startDev } = await import("./dev/server.ts");
  const dev = await startDev({ port, stateDir: values.state, bindings: bindings() });
  if (dev.isNewToken) console.log(`admin token ${dev.adminToken}`);
  console.log(`ready ${dev.url}`);
  if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done, { once: true }));
  await dev.stop();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
