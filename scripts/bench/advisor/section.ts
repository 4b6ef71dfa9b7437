// A section of the advisor's bench: it reports its figures and prints its own table on stderr.

export type BenchOptions = {
  /** The folder of PlanetLab traces, and the days of it that are wanted; none: all. */
  planetlab?: string;
  days: readonly string[];
  /** Sizes of generated clusters; none: each case's own. */
  hosts: readonly number[];
  /** Of generated clusters, and of policies that act by chance. */
  seed: number;
};

export type Section = { cases: readonly string[]; run: (options: BenchOptions) => void | Promise<void> };

export const say = (text: string): void => console.error(text);
