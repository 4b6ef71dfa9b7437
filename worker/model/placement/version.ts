// Which engine made a plan: replays compare it before they call a difference a fault.
import { MODEL_VERSION } from "../migration/estimate.ts";

/** Rises whenever the advisor may answer the same snapshot and parameters with another plan. */
const PLACEMENT_VERSION = "2";

/** Of the advisor and of the cost models, whose estimates stand in every plan. */
export const ENGINE_VERSION = `placement ${PLACEMENT_VERSION}, estimates ${MODEL_VERSION}`;
