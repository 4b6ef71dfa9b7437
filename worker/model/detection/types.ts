// Words of detection: what makes a host hot, warm, cold or unknown, and why.
import { z } from "zod";
import { forecasterName, forecastParameters } from "../forecast/types.ts";
import { MIB, MINUTE_MS } from "../units.ts";

const ratio = z.number().gt(0).max(1);

export const detectionParameters = z
  .strictObject({
    /** Hot above these shares of the host's cores, memory and NIC, each way (Sandpiper: 75 %). */
    cpuRatioHot: ratio.default(0.75),
    memoryRatioHot: ratio.default(0.9),
    networkRatioHot: ratio.default(0.75),
    /** Payload rate of the NIC that VMs use; a host's label `nic-bytes-per-second` goes before it. Absent: not judged. */
    nicBytesPerSecond: z.number().positive().optional(),
    /** Reads and writes together; absent: disks are not judged, since nothing says what they can do. */
    diskBytesPerSecondHot: z.number().positive().optional(),
    /** Share of time in which some task waited for CPU or memory (PSI "some"). */
    pressureRatioHot: ratio.default(0.2),
    /** What is swapped in all the time is memory that was needed. */
    swapInBytesPerSecondHot: z.number().positive().default(MIB),
    /** What a VM's service may take; a VM's label `latency-slo-seconds` goes before it. Absent: not judged. */
    latencySloSeconds: z.number().positive().optional(),
    /** Cold: below this share of the cores (Beloglazov and Buyya 2012). */
    cpuRatioCold: ratio.default(0.35),
    /** At least so many of the newest `newestSamples` are over the threshold. */
    overSamples: z.int().min(1).max(64).default(3),
    newestSamples: z.int().min(1).max(64).default(5),
    /** So many in a row need no forecast: that overload is there. */
    persistentSamples: z.int().min(1).max(1024).default(12),
    /** How far ahead the forecast must be over the threshold too. */
    horizonMs: z
      .number()
      .positive()
      .default(5 * MINUTE_MS),
    /** Telemetry older than this says nothing about now. */
    staleMs: z
      .number()
      .positive()
      .default(5 * MINUTE_MS),
    forecaster: forecasterName.default("combined"),
    forecast: forecastParameters.prefault({}),
    /** Of the numbers that some forecasters draw. */
    seed: z.int().default(0),
  })
  .refine(({ overSamples, newestSamples }) => overSamples <= newestSamples, {
    path: ["overSamples"],
    message: "not more than newestSamples",
  })
  .meta({ id: "DetectionParameters" });
export type DetectionParameters = z.infer<typeof detectionParameters>;

export const hostState = z.enum(["hot", "warm", "normal", "cold", "unknown"]);

export const detectionCause = z
  .strictObject({
    /** Of the catalogue. */
    metric: z.string(),
    /**
     * `k-of-n`: samples over the threshold, and the forecast too where there is one. `forecast`: only the forecast is over it.
     * `threshold`: only an average or p95 was known. The others are named by what they measure, by whichever of these rules.
     */
    kind: z.enum(["threshold", "k-of-n", "forecast", "gray-box", "swap", "pressure"]),
    /** The newest sample, or the average; ratio of capacity for cores, memory and NIC, else in the metric's unit. */
    value: z.number(),
    threshold: z.number(),
    /** `over` of the newest `n` are over the threshold (cold: under it), and `k` have to be. null: no recent samples. */
    k: z.int().nullable(),
    n: z.int().nullable(),
    over: z.int().nullable(),
    /** null: no forecast could be made. */
    forecast: z.number().nullable(),
    p90: z.number().nullable(),
    /** Gray-box: the VM whose service is slow, and the cores it would need. */
    vmUuid: z.string().optional(),
    neededCores: z.number().optional(),
    sentence: z.string(),
  })
  .meta({ id: "DetectionCause" });
export type DetectionCause = z.infer<typeof detectionCause>;

export const detection = z
  .strictObject({
    hostId: z.string(),
    state: hostState,
    /** What made the state; the worst first. Of an unknown one, nothing. */
    causes: z.array(detectionCause),
    /** Metrics of which nothing recent is known. They speak neither for nor against the host. */
    unknownMetrics: z.array(z.string()),
    sentence: z.string(),
  })
  .meta({ id: "Detection" });
export type Detection = z.infer<typeof detection>;
