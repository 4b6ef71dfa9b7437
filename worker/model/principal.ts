// Who asks, and what they may do.
import { z } from "zod";

export const scope = z.enum(["ingest", "agent", "read", "plan", "approve", "operate", "admin"]);
export type Scope = z.infer<typeof scope>;

export type Principal = {
  id: string;
  name: string;
  scopes: readonly Scope[];
  /** `agent` and `ingest`: the only host it may act for; null: not bound to one. */
  hostId: string | null;
  /** `ingest`: the only cluster it may write to; null: not bound to one. */
  cluster: string | null;
};

/** What is written down of every change. */
export type AuditEntry = { actor: string; action: string; subject: string; reason?: string; detail?: unknown };

/** The entry of a change by this principal; what is undefined is left out. */
export const entryOf = (
  { id: actor }: Pick<Principal, "id">,
  action: string,
  subject: string,
  detail: unknown,
  reason?: string | undefined,
): AuditEntry => ({
  actor,
  action,
  subject,
  ...(reason === undefined ? {} : { reason }),
  ...(detail === undefined ? {} : { detail }),
});
