// Entry points of the Worker. Wires, decides nothing.
import { createApp } from "./app.ts";
import { type Bindings, makeDeps } from "./env.ts";
import { outboxMessage } from "./model/webhooks/messages.ts";
import { handleMessage } from "./services/outbox.ts";
import { runSchedule } from "./services/schedule.ts";

export { HostChannel } from "./channel/host-channel.ts";
export { MigrationRun } from "./workflows/migration-run.ts";

const app = createApp(makeDeps);

export default {
  fetch: app.fetch,
  scheduled: (_controller, env, context) => {
    context.waitUntil(runSchedule(makeDeps(env)));
  },
  queue: async (batch, env) => {
    // What failed again and again is there for people to see; Cron does what it asked for.
    if (batch.queue.endsWith("-dead")) {
      // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
      for (const { id, body } of batch.messages) console.error("outbox: given up", id, body);
      return;
    }
    const deps = makeDeps(env);
    for (const { body } of batch.messages) await handleMessage(deps, outboxMessage.parse(body));
  },
} satisfies ExportedHandler<Bindings>;
