// How long the samples of each tier are kept (DESIGN section 4).
import { DAY_MS, HOUR_MS } from "../units.ts";
import type { Tier } from "./chunk-id.ts";

/** Raw samples are accepted as late as they are kept. */
export const RETENTION_MS: Record<Tier, number> = { raw: 48 * HOUR_MS, "5min": 30 * DAY_MS, "1h": 400 * DAY_MS };
