// What a button does, as the text that platforms carry to and fro: `approve:pln_…:hash`. It binds the content that was seen.
import type { Scope } from "../principal.ts";

export type Action =
  | { do: "approve" | "reject" | "override"; planId: string; hash: string }
  | { do: "show" | "why"; planId: string }
  | { do: "watch" | "cancel"; migrationId: string }
  | { do: "stop" };

/** Discord takes a hundred characters; 160 bits of the content's SHA-256 fit and cannot be met by another plan. */
const HASH_LENGTH = 40;
export const ACTION_LENGTH_MAX = 100;

/** The part of a plan's content hash that its buttons carry. */
export const hashOnButton = (contentHash: string): string => contentHash.slice(0, HASH_LENGTH);

export function actionText(action: Action): string {
  if (action.do === "stop") return "stop";
  if ("migrationId" in action) return `${action.do}:${action.migrationId}`;
  return "hash" in action
    ? `${action.do}:${action.planId}:${hashOnButton(action.hash)}`
    : `${action.do}:${action.planId}`;
}

/** Null: no button of this Drover, or of an older one. */
export function readAction(text: string): Action | null {
  const [, decide, decided, hash] = /^(approve|reject|override):(pln_[0-9a-z]{1,60}):([0-9a-f]{40})$/.exec(text) ?? [];
  if (decide !== undefined && decided !== undefined && hash !== undefined)
    return { do: decide as "approve" | "reject" | "override", planId: decided, hash };
  const [, see, planId] = /^(show|why):(pln_[0-9a-z]{1,60})$/.exec(text) ?? [];
  if (see !== undefined && planId !== undefined) return { do: see as "show" | "why", planId };
  const [, act, migrationId] = /^(watch|cancel):(mig_[0-9a-z]{1,60})$/.exec(text) ?? [];
  if (act !== undefined && migrationId !== undefined) return { do: act as "watch" | "cancel", migrationId };
  return text === "stop" ? { do: "stop" } : null;
}

type Rule = {
  needs: readonly Scope[];
  /** Asked for before it is done; null: nothing is asked. */
  asks: string | null;
  /** The answer is the asker's alone, and the message with the button stays as it is. */
  isPrivate: boolean;
};

export const ACTION_RULES: Record<Action["do"], Rule> = {
  approve: { needs: ["approve"], asks: null, isPrivate: false },
  reject: { needs: ["approve"], asks: "Reject this plan", isPrivate: false },
  override: { needs: ["approve", "operate"], asks: "Approve in an emergency", isPrivate: false },
  show: { needs: ["read"], asks: null, isPrivate: false },
  why: { needs: ["read"], asks: null, isPrivate: true },
  watch: { needs: ["read"], asks: null, isPrivate: false },
  cancel: { needs: ["operate"], asks: "Cancel this migration", isPrivate: false },
  stop: { needs: ["operate"], asks: "Stop everything", isPrivate: false },
};
