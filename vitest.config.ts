import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { freePort } from "./scripts/bench/telemetry/peers.ts";

const migrations = await readD1Migrations("migrations");
// Where the tests' chat platform listens: the Worker has to know it before it is there.
const chatPort = (process.env["CHAT_PLATFORM_PORT"] ??= String(await freePort()));
const chatUrl = `http://127.0.0.1:${chatPort}`;

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        // Pure code and the agent: plain Node.
        test: {
          name: "node",
          // Nothing here changes what another file sees: workers are used again.
          isolate: false,
          // Thousands of drawn clusters take their time on machines that others use too.
          testTimeout: 60_000,
          include: ["adapters", "agent", "bench", "house", "model"].map((folder) => `test/${folder}/**/*.test.ts`),
          exclude: ["test/agent/*/real*.test.ts"],
        },
      },
      {
        // Whole Drovers with their agents and senders: they wait more than they work.
        test: {
          name: "e2e",
          // Senders wait before they send again, on machines that others use too.
          testTimeout: 60_000,
          include: ["test/e2e/**/*.test.ts"],
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
        },
      },
      {
        // Real QEMU, whose guests dirty memory as fast as the machine lets them: last, so that they have it to themselves.
        test: {
          name: "real",
          testTimeout: 60_000,
          include: ["test/agent/*/real*.test.ts"],
          sequence: { groupOrder: 2 },
          maxWorkers: 1,
        },
      },
      {
        // Everything behind HTTP: real workerd, real D1, real Workflows.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                TEST_MIGRATIONS: migrations,
                LOCAL: "yes",
                ADMIN_TOKEN: "drv_test_admin_token_0000000000000000",
                // A throw-away seed, used by these tests only.
                // Of Slack's published example; the public key of the seed that is 32 times 9.
                SLACK_SIGNING_SECRET: "8f742231b10e8888abcd99yyyzzz85a5",
                SLACK_BOT_TOKEN: "xoxb-test",
                SLACK_API_URL: `${chatUrl}/slack/api`,
                DISCORD_PUBLIC_KEY: "fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618",
                DISCORD_BOT_TOKEN: "bot-test",
                DISCORD_API_URL: `${chatUrl}/discord`,
                COMMAND_SIGNING_KEY: "whsk_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
              },
            },
          }),
        ],
        test: {
          name: "api",
          // Some send hundreds of thousands of samples, on machines that others use too.
          testTimeout: 60_000,
          include: ["test/api/**/*.test.ts", "test/store/**/*.test.ts"],
          setupFiles: ["./test/support/migrate.ts"],
          globalSetup: ["./test/support/with-receiver.ts"],
        },
      },
    ],
  },
});
