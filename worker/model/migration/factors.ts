// What a draw alone decides: factors by which priors are multiplied, the same for every VM. Worked out once a draw, when it is
// first asked for, since exponentials of all sources for all draws of every move were a good part of a plan's time.
import type { Scores } from "./draws.ts";
import * as prior from "./priors.ts";

/** exp(standard deviation of the logarithm × score), by what it multiplies. */
export type Factors = {
  setup: number;
  burst: number;
  fresh: number;
  firstTouch: number;
  discard: number;
  fault: number;
  brownout: number;
  switchover: Record<keyof typeof prior.SWITCHOVER, number>;
  handover: Record<keyof typeof prior.HANDOVER, number>;
  energy: Record<keyof typeof prior.ENERGY.lnSd, number>;
};

const known = new WeakMap<Scores, Factors>();

export function factorsOf(scores: Scores): Factors {
  const before = known.get(scores);
  if (before !== undefined) return before;
  const z = scores.normal;
  const { SWITCHOVER, HANDOVER, ENERGY } = prior;
  const factors: Factors = {
    setup: Math.exp(prior.SETUP_LN_SD * z.setup),
    burst: Math.exp(prior.BURST_LN_SD * z.burst),
    fresh: Math.exp(prior.FRESH_LN_SD * z.fresh),
    firstTouch: Math.exp(prior.FIRST_TOUCH.lnSd * z.firstTouch),
    discard: Math.exp(prior.DISCARD.lnSd * z.burst),
    fault: Math.exp(prior.FAULT_LN_SD * z.fault),
    brownout: Math.exp(prior.BROWNOUT_LN_SD * z.brownout),
    switchover: {
      kvm: Math.exp(SWITCHOVER.kvm.lnSd * z.switchover),
      xen: Math.exp(SWITCHOVER.xen.lnSd * z.switchover),
      vmware: Math.exp(SWITCHOVER.vmware.lnSd * z.switchover),
    },
    handover: {
      real: Math.exp(HANDOVER.real.lnSd * z.handover),
      simulated: Math.exp(HANDOVER.simulated.lnSd * z.handover),
    },
    energy: { power: Math.exp(ENERGY.lnSd.power * z.energy), traffic: Math.exp(ENERGY.lnSd.traffic * z.energy) },
  };
  known.set(scores, factors);
  return factors;
}
