// How every route is declared: path, scopes, schemas; the OpenAPI document is generated from the same declaration.
import { createRoute, OpenAPIHono, type RouteConfig } from "@hono/zod-openapi";
import type { z } from "zod";
import type { AppEnv } from "../env.ts";
import { AppError, type Issue } from "../errors.ts";
import type { Scope } from "../model/principal.ts";
import { requireScope } from "./auth.ts";
import { problemSchema } from "./problem-schema.ts";

const problem = {
  description: "A problem (RFC 9457)",
  content: { "application/problem+json": { schema: problemSchema } },
} as const;

/** A body of JSON. */
export const jsonBody = <S extends z.ZodType>(schema: S) =>
  ({ required: true, content: { "application/json": { schema } } }) as const;

/** An answer of JSON. */
export const jsonAnswer = <S extends z.ZodType>(description: string, schema: S) =>
  ({ description, content: { "application/json": { schema } } }) as const;

/** A route that needs a token with one of `scopes`. Errors of every kind are problem+json. */
export function declareRoute<const R extends RouteConfig>(scopes: readonly [Scope, ...Scope[]], route: R) {
  return createRoute({
    ...route,
    security: [{ bearer: [...scopes] }],
    middleware: [requireScope(...scopes), ...(route.middleware === undefined ? [] : [route.middleware].flat())],
    responses: { ...route.responses, "4XX": problem, "5XX": problem } as R["responses"],
  });
}

/** What is wrong with an input, field by field. */
export const issuesOf = ({ issues }: { issues: readonly z.core.$ZodIssue[] }): Issue[] =>
  issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) => ({ path: path ? `${path}.${key}` : key, message: "unknown field" }));
    return [{ path, message: issue.message }];
  });

/** A Hono whose schema failures are the one `invalid_request` fault. */
export const createRouter = () =>
  new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (result.success) return;
      throw new AppError({ code: "invalid_request", issues: issuesOf(result.error) });
    },
  });
