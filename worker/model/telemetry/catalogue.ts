// The metrics that models read, as data. Any other well-formed name is stored and queried too, but no model reads it.
// Numbers stand in stored frames (FORMAT.md): a number is never changed and never given twice; new metrics get new ones.

export type MetricKind = "cores" | "bytes" | "rate" | "ratio" | "watts" | "celsius" | "seconds";

export type Metric = {
  /** Stands for the name in stored frames. */
  number: number;
  name: string;
  kind: MetricKind;
  /** Base unit, as it is written in charts and documents. */
  unit: string;
  scope: "host" | "vm" | "both";
  /** Values below or above are refused at the edge. */
  min: number;
  max: number;
};

/** Bounds of a kind. Only what is physically impossible is outside: a model must never see it, a person should hear of it. */
const BOUNDS: Record<MetricKind, { min: number; max: number }> = {
  cores: { min: 0, max: 65_536 },
  bytes: { min: 0, max: Number.MAX_SAFE_INTEGER },
  rate: { min: 0, max: 1e15 },
  ratio: { min: 0, max: 1 },
  watts: { min: 0, max: 1e6 },
  celsius: { min: -273.15, max: 1000 },
  seconds: { min: 0, max: 1e9 },
};

const metric = (
  number: number,
  name: string,
  kind: MetricKind,
  unit: string,
  scope: Metric["scope"] = "both",
): Metric => ({ number, name, kind, unit, scope, ...BOUNDS[kind] });

export const CATALOGUE: readonly Metric[] = [
  metric(1, "cpu_used_cores", "cores", "cores"),
  metric(2, "memory_used_bytes", "bytes", "bytes"),
  metric(3, "memory_pressure_ratio", "ratio", "ratio"),
  metric(4, "cpu_pressure_ratio", "ratio", "ratio"),
  metric(5, "network_receive_bytes_per_second", "rate", "bytes/s"),
  metric(6, "network_transmit_bytes_per_second", "rate", "bytes/s"),
  metric(7, "disk_read_bytes_per_second", "rate", "bytes/s"),
  metric(8, "disk_write_bytes_per_second", "rate", "bytes/s"),
  metric(9, "power_watts", "watts", "W"),
  metric(10, "temperature_celsius", "celsius", "°C"),
  metric(11, "cpu_steal_ratio", "ratio", "ratio", "vm"),
  metric(12, "memory_nonzero_bytes", "bytes", "bytes", "vm"),
  metric(13, "memory_dirty_bytes_per_second", "rate", "bytes/s", "vm"),
  metric(14, "memory_working_set_bytes", "bytes", "bytes", "vm"),
  metric(15, "swap_in_bytes_per_second", "rate", "bytes/s"),
  metric(16, "disk_dirty_bytes_per_second", "rate", "bytes/s", "vm"),
  metric(17, "page_fault_rate", "rate", "1/s", "vm"),
  metric(18, "requests_per_second", "rate", "1/s", "vm"),
  metric(19, "latency_seconds", "seconds", "s", "vm"),
  metric(20, "peer_bytes_per_second", "rate", "bytes/s", "vm"),
  metric(21, "ecc_corrected_errors_per_second", "rate", "1/s", "host"),
  metric(22, "ecc_uncorrected_errors_per_second", "rate", "1/s", "host"),
  metric(23, "disk_failed_ratio", "ratio", "ratio", "host"),
];

const byName = new Map(CATALOGUE.map((entry) => [entry.name, entry]));
const byNumber = new Map(CATALOGUE.map((entry) => [entry.number, entry]));

/** The catalogue's entry of exactly this name. */
export const metricNamed = (name: string): Metric | undefined => byName.get(name);

export const metricNumbered = (number: number): Metric | undefined => byNumber.get(number);

/**
 * The entry whose bounds hold for a series: `family:member` has those of its family, as in
 * `peer_bytes_per_second:<the peer's uuid without dashes>`.
 */
export function metricBounds(name: string): Metric | undefined {
  const colon = name.indexOf(":");
  return byName.get(colon === -1 ? name : name.slice(0, colon));
}

const NAME = /^[a-zA-Z_][a-zA-Z0-9_:]{0,127}$/;

/** Whether a metric may have this name. Two leading underscores are reserved, as in Prometheus. */
export const isMetricName = (name: string): boolean => NAME.test(name) && !name.startsWith("__");

/** Says of a name whether it matches a pattern, in which `*` stands for any characters, also none. */
export function metricPattern(pattern: string): (name: string) => boolean {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return (name) => name === pattern;
  return (name) => {
    if (!name.startsWith(head)) return false;
    // Each piece at its first place is enough: no backtracking.
    let at = head.length;
    for (const piece of rest) {
      const found = name.indexOf(piece, at);
      if (found === -1) return false;
      at = found + piece.length;
    }
    return name.length - tail.length >= at && name.endsWith(tail);
  };
}
