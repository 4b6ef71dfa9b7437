// The only place where faults meet HTTP: RFC 9457 problem+json. `type` is the stable identifier that clients switch on.
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { AppError, type Fault } from "../errors.ts";
import { whereToLook } from "./where-to-look.ts";
import { AGENT_PROBLEMS, type Entries, type Entry } from "./problem-entries.ts";

type Problem = {
  type: string;
  title: string;
  status: ContentfulStatusCode;
  detail: string;
  advice: string;
  [extra: string]: unknown;
};

const kind = (name: string): string => `/problems/${name}`;

/** A new fault does not compile until it has an entry here. */
const PROBLEMS: Entries<Fault["code"]> = {
  invalid_request: ({ issues }) => ({
    title: "Invalid request",
    status: 422,
    detail: issues.map((issue) => `${issue.path || "(body)"}: ${issue.message}`).join("; "),
    advice: "Correct the fields in `issues`; /openapi.json has the schema.",
    extra: { issues },
  }),
  malformed_body: ({ detail }) => ({
    title: "Body cannot be read",
    status: 400,
    detail,
    advice: "Send a well-formed body of the type that /openapi.json has for this route.",
  }),
  body_too_large: ({ limitBytes }) => ({
    title: "Body too large",
    status: 413,
    detail: `The body is over ${limitBytes} bytes.`,
    advice: "Split it into several requests.",
    extra: { limitBytes },
  }),
  too_much: ({ detail }) => ({
    title: "Too much in one body",
    status: 413,
    detail,
    advice: "Split it into several requests.",
  }),
  // 4xx so that a sender does not send them again for ever; what was good is stored all the same.
  samples_refused: ({ stored, refusedCount, refused, isForeign }) => ({
    title: isForeign ? "Token is bound to another host or cluster" : "Samples refused",
    status: isForeign ? 403 : 400,
    ...(isForeign ? { name: "foreign-host" } : {}),
    detail: `${stored} samples were stored, ${refusedCount} were not: ${refused.map(({ series, reason }) => `${series}: ${reason}`).join("; ")}`,
    advice: "Do not send the same again: what could be stored is. Correct what `refused` says at the sender.",
    extra: { stored, refusedCount, refused },
  }),
  unsupported_media_type: ({ detail }) => ({
    title: "Unsupported media type",
    status: 415,
    detail,
    advice: "Send the Content-Type and Content-Encoding that /openapi.json has for this route.",
  }),
  unauthorized: ({ detail }) => ({
    title: "No valid token",
    status: 401,
    detail,
    advice: "Send `Authorization: Bearer drv_…` with a token that is neither revoked nor expired.",
  }),
  missing_scope: ({ anyOf }) => ({
    title: "Token lacks the scope",
    status: 403,
    detail: `This needs one of the scopes: ${anyOf.join(", ")}.`,
    advice: "Ask an administrator for a token with that scope.",
    extra: { anyOf },
  }),
  foreign_host: ({ hostId }) => ({
    title: "Token is bound to another host or cluster",
    status: 403,
    detail: `This token may not act for ${hostId}.`,
    advice: "Use the token that was made for this host.",
  }),
  not_found: ({ what, id }) =>
    what === "path"
      ? {
          name: "no-such-path",
          title: "No such path",
          status: 404,
          detail: `${id} is not part of this API.`,
          advice: "See /openapi.json.",
        }
      : {
          name: `${what}-not-found`,
          title: `No such ${what}`,
          status: 404,
          detail: `There is no ${what} ${id} that this token may see.`,
          advice: whereToLook(what),
        },
  not_in_snapshot: ({ what, id, planId, at }) => {
    const word = what === "vm" ? "VM" : "host";
    return {
      name: `${what}-not-in-snapshot`,
      title: `The plan knows no such ${word}`,
      status: 404,
      detail: `There was no ${word} ${id} in the cluster when ${planId} was made, at ${new Date(at).toISOString()}.`,
      advice: `Ask about a ${word} of that time, or ask for a new plan with POST /v1/plans.`,
    };
  },
  snapshot_gone: ({ planId, why }) => ({
    title: "What the plan was made from is not kept",
    status: 410,
    detail: `The snapshot of ${planId} is not there: ${why}.`,
    advice: "Ask for a new plan with POST /v1/plans, and ask about that one.",
  }),
  older_sequence: ({ hostId, sequence, known }) => ({
    title: "Inventory is older than the one known",
    status: 409,
    detail: `Sequence ${sequence} of ${hostId} does not rise above ${known}.`,
    advice: "Send the present inventory with a higher sequence.",
    extra: { known },
  }),
  cluster_fixed: ({ hostId, cluster }) => ({
    title: "A host stays in its cluster",
    status: 409,
    detail: `${hostId} belongs to ${cluster}.`,
    advice: "Register it under another host id.",
  }),
  batch_conflict: ({ batch }) => ({
    title: "Batch id was used for another content",
    status: 409,
    detail: `Batch ${batch} is known with another content.`,
    advice: "Use a new batch id for new samples.",
  }),
  idempotency_conflict: ({ key }) => ({
    title: "Idempotency key was used for another request",
    status: 409,
    detail: `Key ${key} belongs to another request.`,
    advice: "Use a new key for a new request.",
  }),
  plan_changed: ({ planId, contentHash }) => ({
    title: "This is not the plan that you saw",
    status: 409,
    detail: `The content hash of ${planId} is ${contentHash}.`,
    advice: "Read the plan again and approve what it says now.",
    extra: { contentHash },
  }),
  illegal_state: ({ what, id, state, allowed }) => ({
    title: "Not possible in this state",
    status: 409,
    detail: `${what} ${id} is ${state}; this is possible when it is ${allowed.join(" or ")}.`,
    advice: "Read it again for its present state.",
    extra: { state },
  }),
  vm_busy: ({ vmUuids }) => ({
    title: "A VM has another active migration",
    status: 409,
    detail: `Active already: ${vmUuids.join(", ")}.`,
    advice: "Wait for it to end, or make a new plan.",
    extra: { vmUuids },
  }),
  shadow_plan: ({ planId, policyId }) => ({
    title: "A shadow plan is never approved",
    status: 409,
    detail: `${planId} only shows what policy ${policyId} would have done.`,
    advice: `Ask for a plan of your own with POST /v1/plans, or end the shadow with PATCH /v1/policies/${policyId} and {"shadowUntil": null}.`,
    extra: { policyId },
  }),
  frozen: ({ planId, moves }) => ({
    title: "Frozen",
    status: 409,
    detail: `Moves of ${planId} are frozen: ${moves.map(({ n, why }) => `move ${n} is ${why}`).join("; ")}.`,
    advice: "Skip these moves, wait for the end of the freeze, or end it: see GET /v1/freezes.",
    extra: { moves },
  }),
  unreadable_policy: ({ policyId, why }) => ({
    title: "Stored policy cannot be read",
    status: 409,
    detail: `What is stored of policy ${policyId} is no policy to this version: ${why}. It does not run, and none of its plans is approved.`,
    advice: `Give the fields that do not fit anew with PATCH /v1/policies/${policyId}, or DELETE it and make another.`,
    extra: { policyId },
  }),
  outside_window: ({ planId, policyId, opensAt }) => ({
    title: "Outside the windows of the policy",
    status: 409,
    detail: `${planId} was made by ${policyId}, whose windows are closed now; ${opensAt === null ? "none opens in the next 15 days" : `the next one opens at ${new Date(opensAt).toISOString()}`}.`,
    advice: "Approve it when they are open, or ask for a plan of your own with POST /v1/plans.",
    extra: { policyId, opensAt },
  }),
  may_not_approve: ({ planId, why, approvers }) => ({
    title: "Your approval does not count here",
    status: 403,
    detail: `${planId}: ${why}.`,
    advice: `Ask ${approvers === null ? "somebody else with the scope approve" : approvers.join(" or ")}; in an emergency approve with "override": true and a reason, which needs operate besides.`,
    extra: { approvers },
  }),
  // Why stands in the log: a forger is not to learn from it.
  unverified: () => ({
    title: "Not verified",
    status: 401,
    detail: "The request was not verified.",
    advice: "See docs/chatops.md or docs/triggers.md; the Worker's log says why.",
  }),
  needs_person: ({ planId, moves }) => ({
    title: "Post-copy needs a person's approval",
    status: 409,
    detail: `Moves ${moves.join(", ")} of ${planId} permit post-copy, which no policy approves.`,
    advice: "Approve the plan yourself, or leave these moves out.",
    extra: { moves },
  }),
  name_taken: ({ what, name }) => ({
    title: "Name is taken",
    status: 409,
    detail: `There is another ${what} named ${name} in this cluster.`,
    advice: "Choose another name, or change the one there is.",
  }),
  changed_meanwhile: ({ what, id, version }) => ({
    title: "It has changed meanwhile",
    status: 412,
    detail: version === null ? `${what} ${id} is gone.` : `${what} ${id} is at version ${version} now.`,
    advice: "Read it again and send the change with the version that it has now.",
    extra: { version },
  }),
  point_of_no_return: ({ migrationId, state }) => ({
    title: "Past the point of no return",
    status: 409,
    detail: `Migration ${migrationId} is ${state} with post-copy active: the VM's memory is on two hosts.`,
    advice: "Let it finish; where its link is lost, restore the link and POST …/recover.",
  }),
  outside_limits: ({ migrationId, detail, limits }) => ({
    title: "Outside the approved limits",
    status: 422,
    detail: `Migration ${migrationId}: ${detail}.`,
    advice: "Stay within `limits`, or cancel it and have a plan approved that permits this.",
    extra: { limits },
  }),
  event_refused: ({ detail }) => ({
    title: "Event does not fit the migration",
    status: 409,
    detail,
    advice: "It is kept in the timeline; the migration's state has not moved.",
  }),
  ...AGENT_PROBLEMS,
  busy: ({ detail, retryAfterSeconds }) => ({
    title: "Busy",
    status: 503,
    detail,
    advice: `Send the same again after ${retryAfterSeconds} s.`,
    extra: { retryAfterSeconds },
  }),
  misconfigured: ({ detail }) => ({
    title: "Drover is not configured",
    status: 503,
    detail,
    advice: "See CONTRIBUTING.md, section Configuration.",
  }),
};

export function toProblem(fault: Fault): Problem {
  const entry = (PROBLEMS[fault.code] as (fault: Fault) => Entry)(fault);
  const { extra, name, ...problem } = entry;
  return { type: kind(name ?? fault.code.replaceAll("_", "-")), ...problem, ...extra };
}

export function onError(error: Error, c: Context): Response {
  return send(c, problemOf(error));
}

/** What anything that was thrown is to whoever asked. What is no fault of theirs is logged. */
export function problemOf(error: unknown): Problem {
  if (error instanceof AppError) return toProblem(error.fault);
  // Hono's validators throw these for bodies they cannot read.
  if (error instanceof HTTPException && error.status === 415)
    return toProblem({
      code: "unsupported_media_type",
      detail: error.message || "The body has no JSON content type.",
    });
  if (error instanceof HTTPException && error.status < 500)
    return toProblem({ code: "malformed_body", detail: error.message || "The body cannot be read." });
  // oxlint-disable-next-line no-console -- the platform's log is where an unexpected error must be seen
  console.error(error);
  return {
    type: kind("internal"),
    title: "Internal error",
    status: 500,
    detail: "Something in Drover went wrong; nothing was half done.",
    advice: "Send the same again; if it persists, report it.",
  };
}

export const notFound = (c: Context): Response =>
  send(c, toProblem({ code: "not_found", what: "path", id: c.req.path }));

function send(c: Context, problem: Problem): Response {
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (problem.type === kind("unauthorized")) headers["www-authenticate"] = "Bearer";
  if (problem.status === 426) headers["upgrade"] = "websocket";
  if (typeof problem["retryAfterSeconds"] === "number") headers["retry-after"] = String(problem["retryAfterSeconds"]);
  return c.json(problem, problem.status, headers);
}
