// Seeded randomness of the simulated world. Every stream is derived from the seed and a name, so that looking at one VM
// never changes what happens to another.

export type Random = {
  /** Uniform in [0, 1). */
  next: () => number;
  normal: () => number;
  /** Log-normal by its median and the standard deviation of its logarithm. */
  logNormal: (median: number, sigma: number) => number;
  poisson: (mean: number) => number;
};

/** FNV-1a over UTF-16 units: names to 32 bits. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** One well-mixed 32-bit step, after the finaliser of MurmurHash3. */
function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A uniform number in [0, 1) that depends on its arguments only: noise that can be looked at twice. */
export function hashUniform(seed: number, bucket: number): number {
  return mix(mix(seed) ^ Math.imul(bucket | 0, 0x9e3779b1)) / 4_294_967_296;
}

/** About standard normal (sum of four uniforms, so within ±3.5), as repeatable as `hashUniform`. */
export function hashNormal(seed: number, bucket: number): number {
  let sum = 0;
  for (let part = 0; part < 4; part++) sum += hashUniform(seed + part * 7919, bucket);
  return (sum - 2) * Math.sqrt(3);
}

/** Mulberry32 with the usual transformations on top. */
export function createRandom(seed: number): Random {
  let state = mix(seed);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const poisson = (mean: number): number => {
    if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal()));
    const floor = Math.exp(-mean);
    let count = 0;
    for (let product = next(); product > floor; product *= next()) count++;
    return count;
  };
  return { next, normal, logNormal: (median, sigma) => median * Math.exp(sigma * normal()), poisson };
}
