// A part of a plan that may be taken back as a whole.
import type { PlannedHost, State } from "./state.ts";

export type Trial = {
  from: PlannedHost;
  /** The hosts that were changed, as they were. */
  before: Map<PlannedHost, PlannedHost>;
  /** To be called before a host is changed. */
  keep: (host: PlannedHost) => void;
};

export function begin(from: PlannedHost): Trial {
  const before = new Map<PlannedHost, PlannedHost>();
  return {
    from,
    before,
    keep(host) {
      if (!before.has(host)) before.set(host, { ...host, vms: [...host.vms] });
    },
  };
}

export function undo({ placement, input }: State, { from, before }: Trial): void {
  for (const [host, was] of before) Object.assign(host, was);
  for (const vm of from.vms) {
    placement[vm] = from.index;
    input.moved?.(vm, from.index);
  }
}
