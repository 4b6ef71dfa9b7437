// Bearer token → principal, and the scopes of a route.
import type { MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import type { AppEnv, Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type Principal, type Scope, scope } from "../model/principal.ts";

/** How long an isolate trusts what it looked up, ms: a revoked token works at most this long. */
const CACHE_MS = 60_000;
const CACHE_ENTRIES_MAX = 5000;
const cache = new Map<string, { principal: Principal; at: number }>();

async function principalOf(deps: Deps, token: string): Promise<Principal | null> {
  const now = deps.now();
  // By the token itself: hashing it for every request would cost as much as reading a batch.
  const known = cache.get(token);
  if (known && now - known.at < CACHE_MS) return known.principal;
  const principal = await principalByHash(deps, await deps.hash(token), now);
  if (!principal) {
    cache.delete(token);
    return null;
  }
  if (cache.size >= CACHE_ENTRIES_MAX) cache.clear();
  cache.set(token, { principal, at: now });
  return principal;
}

/** Who a token with that SHA-256 stands for now; null: it is unknown, revoked or expired. Not remembered. */
export async function principalByHash(deps: Deps, hash: string, now: number): Promise<Principal | null> {
  // Hashes are compared, so that the time it takes says nothing about the token.
  const isAdmin = hash === (await deps.adminTokenHash());
  return isAdmin
    ? { id: "admin", name: "admin", scopes: scope.options, hostId: null, cluster: null }
    : deps.store.tokens.byHash(hash, now);
}

/** The token of an Authorization header. */
export function bearerToken(header: string | undefined): string {
  if (!header) throw new AppError({ code: "unauthorized", detail: "The request has no Authorization header." });
  const token = /^Bearer (drv_\S+)$/i.exec(header)?.[1];
  if (!token) throw new AppError({ code: "unauthorized", detail: "The Authorization header is not `Bearer drv_…`." });
  return token;
}

/** Sets `principal`, or answers 401; then lets pass only tokens with one of the scopes, else 403. */
export function requireScope(...anyOf: Scope[]): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async (c, next) => {
    const principal = await principalOf(c.get("deps"), bearerToken(c.req.header("authorization")));
    if (!principal) throw new AppError({ code: "unauthorized", detail: "The token is unknown, revoked or expired." });
    if (!anyOf.some((wanted) => principal.scopes.includes(wanted)))
      throw new AppError({ code: "missing_scope", anyOf });
    c.set("principal", principal);
    await next();
  });
}

/** A token bound to a host or a cluster acts for nothing else. `cluster` null: not known yet. */
export function assertActsFor(principal: Principal, hostId: string, cluster: string | null): void {
  if (principal.hostId !== null && principal.hostId !== hostId) throw new AppError({ code: "foreign_host", hostId });
  if (principal.cluster !== null && cluster !== null && principal.cluster !== cluster)
    throw new AppError({ code: "foreign_host", hostId });
}
