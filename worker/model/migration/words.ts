// Figures in sentences.

export function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function seconds(valueMs: number): string {
  return `${(valueMs / 1000).toFixed(1)} s`;
}

/** A stretch of time as people say it. */
export function duration(valueMs: number): string {
  const minutes = valueMs / 60_000;
  if (minutes < 2) return seconds(valueMs);
  return minutes < 120 ? `${minutes.toFixed(1)} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** Whole per cent, more digits where that would say 0. */
export function percent(ratio: number): string {
  const value = ratio * 100;
  return `${value === 0 || value >= 1 ? Math.round(value) : value.toPrecision(1)} %`;
}

/** A small probability as people say it. */
export function oneIn(probability: number): string {
  if (probability <= 0) return "no case";
  return `one case in ${String(Math.round(1 / probability)).replace(/\B(?=(\d{3})+$)/g, ",")}`;
}
