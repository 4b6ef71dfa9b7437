import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const migrations = await readD1Migrations("migrations");

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
