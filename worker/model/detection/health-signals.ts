// What a snapshot knows of a host's health.
import type { SnapshotHost } from "../cluster.ts";
import type { HealthSignals } from "./health.ts";
import { defined, freshOf } from "./signals.ts";

/** The signals of a host at the time `at` (ms since 1970); figures older than `staleMs` are left out, as if not known. */
export function healthSignalsOf(host: SnapshotHost, at: number, staleMs: number): HealthSignals {
  const { load } = freshOf(host.load, at, staleMs);
  const { diskFailedRatio } = load ?? {};
  return {
    at,
    ...defined("eccCorrectedPerSecond", load?.eccCorrectedPerSecond),
    ...defined("eccUncorrectedPerSecond", load?.eccUncorrectedPerSecond),
    ...(diskFailedRatio === undefined ? {} : { diskFailed: diskFailedRatio > 0 }),
    ...defined("temperatureCelsius", load?.temperatureCelsius),
    ...defined("restartsLastDay", host.restartsLastDay),
    ...defined("heardAt", host.heardAt),
    ...(host.conditions === undefined ? {} : { conditions: host.conditions }),
  };
}
