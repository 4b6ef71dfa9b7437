// Examples of what events say, for the API document; tests hold each against its schema.

const VM = { vm: "6f1d2c3b-4a59-4e68-8f77-0a1b2c3d4e5f", vmName: "database-06" };
const MOVE = { fromHostId: "hv-06", toHostId: "hv-02", mechanism: "pre-copy" } as const;
const PREDICTED = { downtimeMsP50: 54, downtimeMsP90: 78, totalMsP50: 51_800, bytesP50: 6_979_321_856 };
const PLAN = { planId: "pln_01939f0c8a4d7c4e8f00000000000001", goal: "evacuate", policyId: null };
const MOVES = {
  contentHash: "9f2c4e1b8a7d6c5f4e3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a1f",
  summary: "1 move empties hv-06.",
  moveCount: 1,
  moves: [
    { n: 1, ...VM, ...MOVE, ...PREDICTED, gainTotal: 12.4, why: "hv-06 is to be emptied and database-06 runs there." },
  ],
};
const RUN = {
  migrationId: "mig_01939f0c8a4d7c4e8f00000000000002",
  planId: PLAN.planId,
  moveNumber: 1,
  ...VM,
  ...MOVE,
  predicted: PREDICTED,
  measured: null,
  failure: null,
};
const MEASURED = {
  preparationMs: 50_400,
  downtimeMs: 61,
  resumeMs: 12,
  totalMs: 50_473,
  transferredBytes: 6_807_363_584,
};
const AT = 1_795_399_200_000;

export const EXAMPLES = {
  hostHot: {
    hostId: "hv-06",
    sentence: "hv-06 uses 0.93 of its cores, over 0.8 in 5 of 5 samples.",
    causes: [{ metric: "cpu_used_cores", sentence: "hv-06 uses 0.93 of its cores, over 0.8 in 5 of 5 samples." }],
  },
  hostState: { hostId: "hv-06", sentence: "hv-06 was last heard 92 s ago.", heardAt: AT },
  hostMaintenance: { hostId: "hv-06", until: AT + 3_600_000, reason: "new DIMMs", by: "tok_01939f0c" },
  planProposed: { ...PLAN, ...MOVES, createdBy: "tok_01939f0c", expiresAt: AT + 86_400_000, mode: null, replans: null },
  planApproved: {
    ...PLAN,
    ...MOVES,
    by: "tok_01939f0c",
    reason: "kernel update",
    skipped: [],
    onFailure: "stop" as const,
    override: false,
  },
  planApprovalGiven: { ...PLAN, contentHash: MOVES.contentHash, by: "tok_01939f0c", reason: null, given: 1, needed: 2 },
  planDecided: { ...PLAN, by: "tok_01939f0c", reason: "not before the weekend" },
  planState: PLAN,
  migrationStarted: { ...RUN, state: "claimed", before: "queued", elapsedMs: 1200 },
  migrationCompleted: { ...RUN, state: "completed", before: "verifying", measured: MEASURED, elapsedMs: 58_000 },
  migrationFailed: {
    ...RUN,
    state: "failed",
    before: "pre-copying",
    failure: { reason: "destination-failed", detail: "The destination's QEMU ended.", hostId: "hv-02" },
    elapsedMs: 31_000,
  },
  migrationLost: {
    ...RUN,
    state: "lost",
    before: "pre-copying",
    failure: { reason: "silent", detail: "No event for 61 s and the source not heard." },
    elapsedMs: 95_000,
  },
  migrationPaused: { ...RUN, mechanism: "post-copy" as const, state: "paused", before: "resuming", elapsedMs: 4000 },
  migrationUnreachable: {
    migrationId: RUN.migrationId,
    planId: RUN.planId,
    vm: RUN.vm,
    vmName: RUN.vmName,
    fromHostId: RUN.fromHostId,
    toHostId: RUN.toHostId,
    check: "tcp 192.0.2.7:443",
    detail: "no answer in 2000 ms, in 5 attempts",
  },
  calibrationDrifted: {
    group: "prod/kvm/pre-copy/convergent",
    hypervisor: "kvm" as const,
    mechanism: "pre-copy" as const,
    regime: "convergent",
    quantity: "totalMs",
    direction: "above" as const,
    since: AT,
  },
  policyAlarm: {
    policyId: "pol_01939f0c",
    name: "nightly balance",
    why: "The last 3 plans reached less than half of what they promised.",
    from: "auto" as const,
    to: "advise" as const,
  },
  policyFailed: {
    policyId: "pol_01939f0c",
    runId: "prn_01939f0c",
    why: "busy: The plan is being decided by somebody else.",
  },
  freezePayload: {
    freezeId: "frz_01939f0c",
    reason: "year end",
    from: AT,
    to: null,
    isPartial: false,
    by: "tok_01939f0c",
  },
  stopPressed: { cluster: "prod", reason: "storage fault", by: "tok_01939f0c" },
  webhookPaused: {
    webhookId: "whk_01939f0c",
    url: "https://hooks.example.com/drover",
    why: "The receiver answered 410 Gone.",
    failingSince: AT,
  },
  webhookTest: { webhookId: "whk_01939f0c", by: "tok_01939f0c" },
  notification: {
    routeId: "rte_01939f0c",
    name: "on call",
    severity: "critical" as const,
    common: { cluster: "prod" },
    count: 57,
    from: AT,
    to: AT + 240_000,
    byType: { "host.unreachable": 17, "migration.failed": 40 },
    events: [
      {
        id: "evt_4f6a0d1c2b3e4f5061728394a5b6c7d8",
        type: "host.unreachable",
        severity: "critical" as const,
        cluster: "prod",
        subject: "hv-06",
        at: AT,
        sentence: "[prod] Unreachable: hv-06",
      },
    ],
    testBy: null,
  },
};
