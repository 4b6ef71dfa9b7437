// `Idempotency-Key`: the same key with the same request is answered the same; nothing is done twice.
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "../env.ts";
import { AppError } from "../errors.ts";

const KEY_LENGTH_MAX = 255;

/** For POSTs that create. Only successful answers are remembered, for 24 h, and none that says `no-store`. */
export const idempotent = createMiddleware<AppEnv>(async (c, next) => {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return next();
  if (key.length === 0 || key.length > KEY_LENGTH_MAX)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "Idempotency-Key", message: `1 to ${KEY_LENGTH_MAX} characters` }],
    });
  const { deps, principal } = c.var;
  const { pathname, search } = new URL(c.req.url);
  const requestHash = await deps.hash(`${c.req.method} ${pathname}${search}\n${await c.req.text()}`);
  const known = await deps.store.idempotency.find(principal.id, key);
  if (known) {
    if (known.requestHash !== requestHash) throw new AppError({ code: "idempotency_conflict", key });
    return new Response(known.body, {
      status: known.status,
      headers: { "content-type": "application/json", "idempotency-replayed": "true" },
    });
  }
  await next();
  const isKept = c.res.headers.get("cache-control") !== "no-store";
  if (isKept && c.res.status >= 200 && c.res.status < 300) {
    const body = await c.res.clone().text();
    await deps.store.idempotency.remember(principal.id, key, { requestHash, status: c.res.status, body }, deps.now());
  }
});
