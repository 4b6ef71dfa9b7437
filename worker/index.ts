// Entry points of the Worker. Wires, decides nothing.
import { createApp } from "./app.ts";
import { type Bindings, makeDeps } from "./env.ts";
import { runSchedule } from "./services/schedule.ts";

export { HostChannel } from "./channel/host-channel.ts";
export { MigrationRun } from "./workflows/migration-run.ts";

const app = createApp(makeDeps);

export default {
  fetch: app.fetch,
  scheduled: (_controller, env, context) => {
    context.waitUntil(runSchedule(makeDeps(env)));
  },
} satisfies ExportedHandler<Bindings>;
