// How a load is measured: server CPU a million samples, whatever the server.
import { figure } from "./bench.ts";
import type { Body } from "./send.ts";

export type Server = {
  /** null: Drover. */
  peer?: string;
  cpuSeconds: () => number;
  send: (bodies: readonly Body[]) => Promise<void>;
  /** Waits for what the server does with samples after it has answered. */
  settle: () => Promise<void>;
};

export type Load = { cpuSecondsPerMillionSamples: number; samplesPerSecond: number; wireBytesPerSample: number };

export const samplesOf = (bodies: readonly Body[]): number => bodies.reduce((sum, { samples }) => sum + samples, 0);

/** Sends `warmUp` unmeasured, then `bodies`. The loader's own CPU is not counted, but it is in the wall time. */
export async function measureLoad(server: Server, warmUp: readonly Body[], bodies: readonly Body[]): Promise<Load> {
  await server.send(warmUp);
  await server.settle();
  const cpu = server.cpuSeconds();
  const began = performance.now();
  await server.send(bodies);
  const seconds = (performance.now() - began) / 1000;
  await server.settle();
  const samples = samplesOf(bodies);
  const bytes = bodies.reduce((sum, body) => sum + body.bytes.length, 0);
  return {
    cpuSecondsPerMillionSamples: (server.cpuSeconds() - cpu) / (samples / 1e6),
    samplesPerSecond: samples / seconds,
    wireBytesPerSample: bytes / samples,
  };
}

export function reportLoad(name: string, load: Load, peer?: string): void {
  figure(name, "cpuSecondsPerMillionSamples", load.cpuSecondsPerMillionSamples, "s/M samples", peer);
  figure(name, "samplesPerSecond", load.samplesPerSecond, "1/s", peer);
  figure(name, "wireBytesPerSample", load.wireBytesPerSample, "B/sample", peer);
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;

const WARM_UPS = 3;
const REQUESTS = 15;

export type Asked = { p50: number; p95: number; cpuMs: number; bytes: number };

/** One client, one request after the other. `check` throws when the answer is not what was asked for. */
export async function measureQuery(
  cpuSeconds: () => number,
  ask: () => Promise<Buffer>,
  check: (body: Buffer) => void,
): Promise<Asked> {
  for (let turn = 0; turn < WARM_UPS; turn++) check(await ask());
  const cpu = cpuSeconds();
  const times: number[] = [];
  let bytes = 0;
  for (let turn = 0; turn < REQUESTS; turn++) {
    const began = performance.now();
    bytes = (await ask()).length;
    times.push(performance.now() - began);
  }
  const cpuMs = ((cpuSeconds() - cpu) * 1000) / REQUESTS;
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), cpuMs, bytes };
}

export function reportQuery(name: string, asked: Asked, peer?: string): void {
  figure(name, "latencyMsP50", asked.p50, "ms", peer);
  figure(name, "latencyMsP95", asked.p95, "ms", peer);
  figure(name, "cpuMs", asked.cpuMs, "ms/request", peer);
  figure(name, "answerBytes", asked.bytes, "B", peer);
}
