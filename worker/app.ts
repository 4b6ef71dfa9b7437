// Middleware order and mounts. `AppType` types the clients of the tests, the demo and the dashboard.
import { bodyLimit } from "hono/body-limit";
import { createMiddleware } from "hono/factory";
import { secureHeaders } from "hono/secure-headers";
import type { AppEnv, Bindings, Deps } from "./env.ts";
import { AppError } from "./errors.ts";
import { notFound, onError } from "./http/problem.ts";
import { createRouter } from "./http/route.ts";
import { approvalRuleRoutes } from "./routes/approval-rules.ts";
import { auditRoutes } from "./routes/audit.ts";
import { calibrationRoutes } from "./routes/calibration.ts";
import { chatRoutes } from "./routes/chat.ts";
import { channelRoutes } from "./routes/channel.ts";
import { estimateRoutes } from "./routes/estimates.ts";
import { foreignRoutes } from "./routes/foreign.ts";
import { freezeRoutes } from "./routes/freezes.ts";
import { hostRoutes } from "./routes/hosts.ts";
import { notificationRoutes } from "./routes/notification-routes.ts";
import { metaRoutes } from "./routes/meta.ts";
import { migrationRoutes } from "./routes/migrations.ts";
import { moveRoutes } from "./routes/moves.ts";
import { outcomeRoutes } from "./routes/outcomes.ts";
import { PLAN_BODY_BYTES_MAX, planRoutes } from "./routes/plans.ts";
import { ruleRoutes } from "./routes/rules.ts";
import { policyRoutes } from "./routes/policies.ts";
import { policyEventRoutes } from "./routes/policy-events.ts";
import { seriesRoutes } from "./routes/series.ts";
import { stopRoutes } from "./routes/stop.ts";
import { telemetryRoutes } from "./routes/telemetry.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { triggerRoutes } from "./routes/triggers.ts";
import { vmRoutes } from "./routes/vms.ts";
import { webhookDeliveryRoutes } from "./routes/webhook-deliveries.ts";
import { webhookRoutes } from "./routes/webhooks.ts";
import { ALERT_BODY_BYTES_MAX } from "./model/triggers/trigger.ts";
import { describeEvents } from "./http/webhook-docs.ts";

export const BODY_BYTES_MAX = 5 * 1_048_576;

/** A body has to be read as a whole before it can be verified; what platforms send is some kilobytes. */
const CHAT_BODY_BYTES_MAX = 262_144;

/** A whole cluster may be in the body of a plan; of everything else a body is smaller. */
function limitOf(method: string, path: string): number {
  if (path.startsWith("/v1/chat/")) return CHAT_BODY_BYTES_MAX;
  if (path.startsWith("/v1/triggers")) return ALERT_BODY_BYTES_MAX;
  return method === "POST" && path === "/v1/plans" ? PLAN_BODY_BYTES_MAX : BODY_BYTES_MAX;
}

function tooLarge(limitBytes: number): never {
  throw new AppError({ code: "body_too_large", limitBytes });
}

/** A body whose length is told need not be made a stream to be measured: that costs as much as reading it. */
const limitedBody = createMiddleware<AppEnv>(async (c, next) => {
  const limit = limitOf(c.req.method, c.req.path);
  const length = c.req.header("content-length");
  if (length === undefined || c.req.header("transfer-encoding") !== undefined)
    return bodyLimit({ maxSize: limit, onError: () => tooLarge(limit) })(c, next);
  if (Number(length) > limit) tooLarge(limit);
  return next();
});

/** `GET /openapi.json`. */
function document(app: ReturnType<typeof createRouter>): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", {
    type: "http",
    scheme: "bearer",
    description: "A token `drv_…`; each route lists the scopes of which it needs one.",
  });
  describeEvents(app.openAPIRegistry);
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "Drover",
      version: "0.1.0",
      description:
        "Metrics service and live-migration advisor for virtual machines. Errors are problem+json (RFC 9457).",
    },
  });
}

export function createApp(makeDeps: (env: Bindings) => Deps) {
  const app = createRouter();
  app.onError(onError);
  app.notFound(notFound);
  app.use(secureHeaders());
  app.use(limitedBody);
  app.use(async (c, next) => {
    c.set("deps", makeDeps(c.env));
    await next();
  });
  document(app);
  return app
    .route("/", metaRoutes)
    .route("/v1/tokens", tokenRoutes)
    .route("/v1/hosts", hostRoutes)
    .route("/v1/hosts", channelRoutes)
    .route("/v1/vms", vmRoutes)
    .route("/v1/audit", auditRoutes)
    .route("/v1/stop", stopRoutes)
    .route("/v1", telemetryRoutes)
    .route("/v1", foreignRoutes)
    .route("/v1", seriesRoutes)
    .route("/v1/estimates", estimateRoutes)
    .route("/v1/calibration", calibrationRoutes)
    .route("/v1/plans", planRoutes)
    .route("/v1/approval-rules", approvalRuleRoutes)
    .route("/v1/rules", ruleRoutes)
    .route("/v1/policies", policyRoutes)
    .route("/v1/freezes", freezeRoutes)
    .route("/v1/events", policyEventRoutes)
    .route("/v1/triggers", triggerRoutes)
    .route("/v1/migrations", migrationRoutes)
    .route("/v1/outcomes", outcomeRoutes)
    .route("/v1/moves", moveRoutes)
    .route("/v1/routes", notificationRoutes)
    .route("/v1/webhooks", webhookRoutes)
    .route("/v1/webhooks", webhookDeliveryRoutes)
    .route("/v1/chat", chatRoutes);
}

export type AppType = ReturnType<typeof createApp>;
