// Where the uncertainty of an estimate comes from: a fixed set of points over everything that is not known exactly. The same
// for every estimate, so that the same input gives the same answer and two inputs differ by what differs in them.

/**
 * A rank-1 lattice (Korobov, generator 19): every multiplier is odd, so each source is stratified into 64 equal parts; the
 * shifts keep the sources from being extreme in the same draw.
 */
const LATTICE = {
  nonzero: { multiplier: 1, shift: 0 },
  dirty: { multiplier: 19, shift: 7 },
  workingSet: { multiplier: 41, shift: 29 },
  link: { multiplier: 11, shift: 45 },
  setup: { multiplier: 17, shift: 13 },
  switchover: { multiplier: 3, shift: 37 },
  burst: { multiplier: 25, shift: 33 },
  fault: { multiplier: 57, shift: 53 },
  brownout: { multiplier: 59, shift: 19 },
  energy: { multiplier: 33, shift: 61 },
  lateness: { multiplier: 51, shift: 5 },
  handover: { multiplier: 47, shift: 23 },
  firstTouch: { multiplier: 7, shift: 17 },
  fresh: { multiplier: 61, shift: 3 },
  scatter: { multiplier: 29, shift: 41 },
};

type Source = keyof typeof LATTICE;

/** One draw. */
export type Scores = {
  /** Standard normal scores. */
  normal: Record<Exclude<Source, "lateness" | "scatter" | "workingSet">, number>;
  /** Uniform in 0…1. */
  lateness: number;
  scatter: number;
  workingSet: number;
};

/** 64 keeps four mechanisms under a millisecond and leaves six draws beyond p10 and p90 each. */
const DRAWS = 64;

/** Inverse of the normal distribution function, error below 4.5e-4 (Abramowitz and Stegun 26.2.23). */
function normalScore(probability: number): number {
  const tail = Math.min(probability, 1 - probability);
  const t = Math.sqrt(-2 * Math.log(tail));
  const z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return probability === 0.5 ? 0 : probability < 0.5 ? -z : z;
}

function scoresAt(probability: (source: Source) => number): Scores {
  const z = (source: Source) => normalScore(probability(source));
  return {
    normal: {
      nonzero: z("nonzero"),
      dirty: z("dirty"),
      link: z("link"),
      setup: z("setup"),
      switchover: z("switchover"),
      burst: z("burst"),
      fault: z("fault"),
      brownout: z("brownout"),
      energy: z("energy"),
      handover: z("handover"),
      firstTouch: z("firstTouch"),
      fresh: z("fresh"),
    },
    lateness: probability("lateness"),
    scatter: probability("scatter"),
    workingSet: probability("workingSet"),
  };
}

/** The median of every source. */
export const MEDIAN: Scores = scoresAt(() => 0.5);

/** The draws of every estimate. */
export const draws: readonly Scores[] = Array.from({ length: DRAWS }, (_, draw) =>
  scoresAt((source) => (((draw * LATTICE[source].multiplier + LATTICE[source].shift) % DRAWS) + 0.5) / DRAWS),
);
