// What all cases share: the fleet asked for, which cases are wanted, and where figures go.
import { report } from "../report.ts";
import { type Span, STEP_MS } from "./workload.ts";

export type Bench = {
  seed: number;
  hosts: number;
  steps: number;
  /** Cases by name; null: all. */
  only: ReadonlySet<string> | null;
  withPeers: boolean;
};

export const wants = ({ only }: Bench, name: string): boolean => only === null || only.has(name);

export const say = (text: string): void => console.error(text);

export function figure(name: string, metric: string, value: number, unit: string, peer?: string): void {
  report({ bench: "telemetry", case: name, metric, value, unit, ...(peer === undefined ? {} : { peer }) });
}

const BLOCK_MS = 2 * 3_600_000;

/**
 * A span that ended at least two hours ago and begins on an even hour (UTC), so that its hours are closed and lie in one
 * block of Prometheus where it lasts no longer than that.
 */
export function closedSpan({ seed, steps }: Bench): Span {
  const blocks = Math.ceil((steps * STEP_MS) / BLOCK_MS);
  return { seed, steps, from: (Math.floor(Date.now() / BLOCK_MS) - 1 - blocks) * BLOCK_MS };
}

/** A span that ends now: its last scrape is at most two steps old. It crosses the border of an hour nearly always. */
export function liveSpan({ seed, steps }: Bench): Span {
  return { seed, steps, from: Date.now() - (steps + 1) * STEP_MS };
}

export const spanEnd = ({ from, steps }: Span): number => from + steps * STEP_MS;

export const hostIndexes = ({ hosts }: Bench): number[] => Array.from({ length: hosts }, (_, index) => index);

/** Hosts beyond the fleet that only warm the server up. */
export const warmUpIndexes = ({ hosts }: Bench, count: number): number[] =>
  Array.from({ length: count }, (_, index) => hosts + index);
