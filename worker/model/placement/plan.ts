// What every strategy does alike: number a move, and put a plan together from the states before and after.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { MoveCost } from "./cost.ts";
import { efficacyOf } from "./efficacy.ts";
import { whyMechanism } from "./explain.ts";
import { whyUnknown } from "./state.ts";
import type { Goal, Move, PlanContent, PlanParameters, Rejection } from "./types.ts";

export type ChosenMove = {
  vm: SnapshotVm;
  from: SnapshotHost;
  to: SnapshotHost;
  cost: Extract<MoveCost, { possible: true }>;
  /** Why this VM, and why there. */
  why: [string, string];
  notChosen: Rejection[];
};

/** A move with the limits that an approval would bind. */
export function moveOf(chosen: ChosenMove, n: number, parameters: PlanParameters): Move {
  const { vm, from, to, cost } = chosen;
  const { mechanism } = cost.estimate;
  return {
    n,
    vm: vm.uuid,
    vmName: vm.name,
    fromHostId: from.hostId,
    toHostId: to.hostId,
    mechanism,
    parameters: cost.parameters,
    limits: {
      downtimeMsMax: parameters.downtimeSloMs,
      bandwidthBytesPerSecondMax: parameters.bandwidthBytesPerSecondMax ?? cost.parameters.maxBandwidthBytesPerSecond,
      postCopyPermitted: mechanism === "post-copy" || mechanism === "hybrid",
    },
    estimate: cost.estimate,
    reasons: [...chosen.why, ...whyMechanism(cost, parameters)],
    notChosen: chosen.notChosen,
  };
}

export function unknownHostsOf(snapshot: Snapshot): PlanContent["unknownHosts"] {
  return snapshot.hosts.flatMap((host) => {
    const unknown = whyUnknown(snapshot, host);
    return unknown === null ? [] : [{ hostId: host.hostId, why: unknown.detail }];
  });
}

export type PlanDraft = {
  goal: Goal;
  strategy: string;
  parameters: PlanParameters;
  before: Snapshot;
  after: Snapshot;
  moves: Move[];
  notMoved: PlanContent["notMoved"];
  summary: string;
  doNothing: { acceptable: boolean; why: string };
};

export function planOf(draft: PlanDraft): PlanContent {
  const { parameters, moves } = draft;
  const before = efficacyOf(draft.before, parameters);
  return {
    cluster: draft.before.cluster,
    goal: draft.goal,
    strategy: draft.strategy,
    parameters,
    moves,
    notMoved: draft.notMoved,
    unknownHosts: unknownHostsOf(draft.before),
    before,
    after: efficacyOf(draft.after, parameters),
    summary: draft.summary,
    doNothing: { ...draft.doNothing, efficacy: before },
    totals: {
      moves: moves.length,
      bytesP50: moves.reduce((sum, { estimate }) => sum + estimate.transferredBytes.p50, 0),
      downtimeMsP90Max: Math.max(0, ...moves.map(({ estimate }) => estimate.downtimeMs?.p90 ?? 0)),
      totalMsP50: moves.reduce((sum, { estimate }) => sum + estimate.totalMs.p50, 0),
    },
  };
}
