import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const migrations = await readD1Migrations("migrations");

export default defineConfig({
  test: {
    projects: [
      {
        // Pure code and the agent: plain Node.
        test: {
          name: "node",
          // Thousands of drawn clusters take their time on machines that others use too.
          testTimeout: 30_000,
          include: ["adapters", "agent", "bench", "house", "model"].map((folder) => `test/${folder}/**/*.test.ts`),
          exclude: ["test/agent/qmp/real*.test.ts"],
        },
      },
      {
        // Real processes at work, QEMU among them: after the others, so that they have the machine to themselves.
        test: {
          name: "e2e",
          // Senders wait before they send again, on machines that others use too.
          testTimeout: 30_000,
          include: ["test/e2e/**/*.test.ts", "test/agent/qmp/real*.test.ts"],
          sequence: { groupOrder: 1 },
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
          testTimeout: 30_000,
          include: ["test/api/**/*.test.ts", "test/store/**/*.test.ts"],
          setupFiles: ["./test/support/migrate.ts"],
          globalSetup: ["./test/support/with-receiver.ts"],
        },
      },
    ],
  },
});
