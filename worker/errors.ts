// Everything a caller can do wrong or run into, as one closed union. `http/problem.ts` gives each its wire form.

export type Issue = { path: string; message: string };

/** Samples that were not stored, and why. */
export type Refusal = { series: string; reason: string; samples: number };

export type Fault =
  | { code: "invalid_request"; issues: Issue[] }
  | { code: "malformed_body"; detail: string }
  | { code: "body_too_large"; limitBytes: number }
  | { code: "too_much"; detail: string }
  | { code: "samples_refused"; stored: number; refusedCount: number; refused: Refusal[]; isForeign: boolean }
  | { code: "unsupported_media_type"; detail: string }
  | { code: "unauthorized"; detail: string }
  | { code: "missing_scope"; anyOf: string[] }
  | { code: "foreign_host"; hostId: string }
  | {
      code: "not_found";
      what:
        | "path"
        | "host"
        | "vm"
        | "plan"
        | "migration"
        | "token"
        | "move"
        | "rule"
        | "policy"
        | "freeze"
        | "preflight"
        | "check"
        | "webhook"
        | "delivery"
        | "approval-rule"
        | "chat-user"
        | "chat-code"
        | "chat-channel"
        | "trigger"
        | "route";
      id: string;
    }
  | { code: "not_in_snapshot"; what: "vm" | "host"; id: string; planId: string; at: number }
  | { code: "snapshot_gone"; planId: string; why: string }
  | { code: "older_sequence"; hostId: string; sequence: number; known: number }
  | { code: "cluster_fixed"; hostId: string; cluster: string }
  | { code: "batch_conflict"; batch: string }
  | { code: "idempotency_conflict"; key: string }
  | { code: "plan_changed"; planId: string; contentHash: string }
  | { code: "illegal_state"; what: string; id: string; state: string; allowed: string[] }
  | { code: "vm_busy"; vmUuids: string[] }
  | { code: "shadow_plan"; planId: string; policyId: string }
  | { code: "frozen"; planId: string; moves: { n: number; why: string }[] }
  | { code: "unreadable_policy"; policyId: string; why: string }
  | { code: "outside_window"; planId: string; policyId: string; opensAt: number | null }
  | { code: "may_not_approve"; planId: string; why: string; approvers: string[] | null }
  | { code: "unverified" }
  | { code: "needs_person"; planId: string; moves: number[] }
  | { code: "name_taken"; what: string; name: string }
  | { code: "changed_meanwhile"; what: string; id: string; version: number | null }
  | { code: "point_of_no_return"; migrationId: string; state: string }
  | { code: "outside_limits"; migrationId: string; detail: string; limits: Record<string, unknown> }
  | { code: "event_refused"; migrationId: string; detail: string }
  | { code: "agent_silent"; hostId: string; preflightId: string; waitedMs: number; heardAt: number | null }
  | { code: "agent_refused"; hostId: string; reason: string; detail: string }
  | { code: "upgrade_required" }
  | { code: "busy"; detail: string; retryAfterSeconds: number }
  | { code: "misconfigured"; detail: string };

export class AppError extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault.code);
    this.fault = fault;
  }
}
