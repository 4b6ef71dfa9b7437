// What detection calls hot and cold, by what a plan is told.
import { type DetectionParameters, detectionParameters } from "../detection/types.ts";
import type { PlanParameters } from "./types.ts";

export const thresholdsOf = (parameters: PlanParameters): DetectionParameters =>
  detectionParameters.parse({
    cpuRatioHot: parameters.hotRatio,
    memoryRatioHot: parameters.hotRatio,
    networkRatioHot: parameters.hotRatio,
    ...(parameters.coldRatio > 0 ? { cpuRatioCold: parameters.coldRatio } : {}),
    overSamples: Math.min(parameters.hotSamples, parameters.hotWindow),
    newestSamples: parameters.hotWindow,
    ...(parameters.latencySloSeconds === undefined ? {} : { latencySloSeconds: parameters.latencySloSeconds }),
    seed: parameters.seed,
  });

/** Cores and network are overloaded above `hotRatio`, memory not below nine tenths: memory that is used is not yet short. */
export const memoryOverloadRatio = ({ hotRatio }: PlanParameters): number => Math.max(hotRatio, 0.9);
