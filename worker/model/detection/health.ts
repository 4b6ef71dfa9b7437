// Whether a host can be relied on: errors of memory and disks, heat, restarts, silence, and what its agent found.
import { z } from "zod";
import { DAY_MS, HOST_STALE_MS, SECOND_MS } from "../units.ts";

export const healthParameters = z
  .strictObject({
    /** Corrected errors of memory: 100 a day (the default of mcelog for a module) foretell uncorrected ones. */
    eccCorrectedPerSecondDegraded: z
      .number()
      .positive()
      .default((100 * SECOND_MS) / DAY_MS),
    temperatureCelsiusDegraded: z.number().default(85),
    temperatureCelsiusFailing: z.number().default(95),
    /** Restarts and silences of 24 h. */
    restartsDegraded: z.int().positive().default(3),
    restartsFailing: z.int().positive().default(6),
    silentMs: z.number().positive().default(HOST_STALE_MS),
  })
  .meta({ id: "HealthParameters" });
export type HealthParameters = z.infer<typeof healthParameters>;

export type HostCondition = {
  type: string;
  severity: "degraded" | "failing";
  /** ms since 1970. */
  since: number;
  detail: string;
};

/** What is known of a host's health; what is not is absent. */
export type HealthSignals = {
  eccCorrectedPerSecond?: number;
  eccUncorrectedPerSecond?: number;
  diskFailed?: boolean;
  temperatureCelsius?: number;
  restartsLastDay?: number;
  /** When the host was last heard, ms since 1970. */
  heardAt?: number;
  /** What its agent found; empty: it looked and found nothing. */
  conditions?: readonly HostCondition[];
  /** Now, ms since 1970. */
  at: number;
};

export const healthReason = z
  .strictObject({
    /** A field of the signals, or the type of a condition. */
    signal: z.string(),
    severity: z.enum(["degraded", "failing", "silent"]),
    /** null: what was found has no number. */
    value: z.number().nullable(),
    threshold: z.number().nullable(),
    sentence: z.string(),
  })
  .meta({ id: "HealthReason" });
export type HealthReason = z.infer<typeof healthReason>;

export const hostHealth = z
  .strictObject({
    state: z.enum(["healthy", "degraded", "failing", "silent", "unknown"]),
    /** The worst first. */
    reasons: z.array(healthReason),
    /** Signals of which nothing is known: they speak neither for nor against the host. */
    unknownSignals: z.array(z.string()),
  })
  .meta({ id: "HostHealth" });
export type HostHealth = z.infer<typeof hostHealth>;

const SIGNALS = [
  "eccCorrectedPerSecond",
  "eccUncorrectedPerSecond",
  "diskFailed",
  "temperatureCelsius",
  "restartsLastDay",
  "conditions",
] as const;

const RANK = { silent: 0, failing: 1, degraded: 2 };

/**
 * The health of one host. `silent` goes before all: what it said last may no longer be so, and it obeys nothing. Silence is
 * never taken for death: a host that cannot be heard may run all its VMs. `unknown`: it lives and says nothing of its health.
 */
export function detectHealth(signals: HealthSignals, parameters: HealthParameters): HostHealth {
  const reasons = [
    ...silence(signals, parameters),
    ...memory(signals, parameters),
    ...disk(signals),
    ...heat(signals, parameters),
    ...flapping(signals, parameters),
    ...(signals.conditions ?? []).map((condition) => found(condition, signals.at)),
  ].toSorted((a, b) => RANK[a.severity] - RANK[b.severity]);
  const unknownSignals = SIGNALS.filter((signal) => !isKnown(signals[signal]));
  const state = reasons[0]?.severity ?? (unknownSignals.length === SIGNALS.length ? "unknown" : "healthy");
  return { state, reasons, unknownSignals };
}

const isKnown = (value: unknown): boolean => value !== undefined && !Number.isNaN(value);

function silence({ heardAt, at }: HealthSignals, { silentMs }: HealthParameters): HealthReason[] {
  const reason = (value: number | null, sentence: string): HealthReason[] => [
    { signal: "heardAt", severity: "silent", value, threshold: silentMs, sentence },
  ];
  const remedy = "see that its agent runs and reaches Drover";
  if (heardAt === undefined) return reason(null, `Never heard: ${remedy}.`);
  const ms = at - heardAt;
  if (ms <= silentMs) return [];
  return reason(ms, `Last heard ${Math.round(ms / SECOND_MS)} s ago, over ${silentMs / SECOND_MS} s: ${remedy}.`);
}

function memory(signals: HealthSignals, { eccCorrectedPerSecondDegraded: limit }: HealthParameters): HealthReason[] {
  const { eccCorrectedPerSecond: corrected = 0, eccUncorrectedPerSecond: uncorrected = 0 } = signals;
  const day = (perSecond: number): string => `${Number(((perSecond * DAY_MS) / SECOND_MS).toPrecision(3))} a day`;
  const failing: HealthReason = {
    signal: "eccUncorrectedPerSecond",
    severity: "failing",
    value: uncorrected,
    threshold: 0,
    sentence: `Memory has errors that could not be corrected, at a rate of ${day(uncorrected)}: empty the host and replace the module.`,
  };
  const degraded: HealthReason = {
    signal: "eccCorrectedPerSecond",
    severity: "degraded",
    value: corrected,
    threshold: limit,
    sentence: `Memory corrects errors at a rate of ${day(corrected)}, over ${day(limit)}: have the module replaced.`,
  };
  return [...(uncorrected > 0 ? [failing] : []), ...(corrected > limit ? [degraded] : [])];
}

function disk({ diskFailed }: HealthSignals): HealthReason[] {
  const sentence = "A disk has failed or foretells that it will: empty the host and replace it.";
  return diskFailed === true
    ? [{ signal: "diskFailed", severity: "failing", value: null, threshold: null, sentence }]
    : [];
}

type Limits = { degraded: number; failing: number };

/** `value` at or over a limit. */
function graded(
  signal: string,
  value: number | undefined,
  { degraded, failing }: Limits,
  sentence: (threshold: number) => string,
): HealthReason[] {
  if (value === undefined || !(value >= Math.min(degraded, failing))) return [];
  const severity = value >= failing ? "failing" : "degraded";
  const threshold = severity === "failing" ? failing : degraded;
  return [{ signal, severity, value, threshold, sentence: sentence(threshold) }];
}

function heat({ temperatureCelsius: value }: HealthSignals, parameters: HealthParameters): HealthReason[] {
  const limits = {
    degraded: parameters.temperatureCelsiusDegraded,
    failing: parameters.temperatureCelsiusFailing,
  };
  const sentence = (limit: number): string =>
    `${value} °C, at or over ${limit} °C: see to its cooling before it throttles or shuts down.`;
  return graded("temperatureCelsius", value, limits, sentence);
}

function flapping({ restartsLastDay: value }: HealthSignals, parameters: HealthParameters): HealthReason[] {
  const limits = { degraded: parameters.restartsDegraded, failing: parameters.restartsFailing };
  const sentence = (limit: number): string =>
    `${value} restarts or silences in 24 h, ${limit} or more: place nothing on it before the cause is found.`;
  return graded("restartsLastDay", value, limits, sentence);
}

function found({ type, severity, since, detail }: HostCondition, at: number): HealthReason {
  const minutes = Math.max(0, Math.round((at - since) / (60 * SECOND_MS)));
  return {
    signal: type,
    severity,
    value: null,
    threshold: null,
    sentence: `${type}, ${severity} for ${minutes} min: ${detail}`,
  };
}
