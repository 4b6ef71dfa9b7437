import type { FreezeRule } from "../../../worker/model/policy/freeze.ts";

/** A Monday. */
export const NOW = Date.parse("2026-06-01T12:00:00Z");

/** Of the whole cluster, since a moment ago, unless stated otherwise. */
export const freezeOf = (fields: Partial<FreezeRule>): FreezeRule => ({
  freezeId: "frz_1",
  cluster: "c",
  from: NOW - 1,
  reason: "r",
  ...fields,
});
