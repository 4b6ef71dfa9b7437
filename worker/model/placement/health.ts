// Whether a host may be relied on, as far as a snapshot says.
import type { SnapshotHost } from "../cluster.ts";
import { detectHealth, healthParameters, type HostHealth } from "../detection/health.ts";
import { healthSignalsOf } from "../detection/health-signals.ts";
import { MINUTE_MS } from "../units.ts";

/** Figures older than this say nothing of a host's health. */
const STALE_MS = 5 * MINUTE_MS;
const PARAMETERS = healthParameters.parse({});

/** The health of a host at the time `at`, ms since 1970. */
export const healthOf = (host: SnapshotHost, at: number): HostHealth =>
  detectHealth(healthSignalsOf(host, at, STALE_MS), PARAMETERS);
