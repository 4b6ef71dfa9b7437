declare namespace Cloudflare {
  interface Env {
    DB: D1Database;
    MIGRATION_RUN: Workflow<{ migrationId: string }>;
    HOST_CHANNEL: DurableObjectNamespace<import("../worker/channel/host-channel.ts").HostChannel>;
    OUTBOX: Queue<import("../worker/model/webhooks/messages.ts").OutboxMessage>;
    TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
    ADMIN_TOKEN: string;
    LOCAL: string;
    COMMAND_SIGNING_KEY: string;
    SLACK_API_URL: string;
  }
  interface GlobalProps {
    mainModule: typeof import("../worker/index.ts");
  }
}
