// Figures that QEMU reports wrongly, in the columns that carry them: they are never learned from.
import type { DriverName, Hypervisor, Mechanism } from "../../wire/common.ts";
import { CALIBRATED } from "../types.ts";
import type { Calibrated, CalibrationOutcome } from "../types.ts";
import type { Shape } from "./shape.ts";

type Measured = CalibrationOutcome["measured"];

/** What decides whether a figure can be trusted. */
export type Circumstances = {
  mechanism: Mechanism;
  converged: boolean;
  hypervisor: Hypervisor;
  driver: DriverName;
  hypervisorVersion: string | undefined;
  multifdChannels: number | undefined;
  compression: string | undefined;
  /** As read, before any rule. */
  measured: Measured;
};

export type Rule = {
  /** Of which shapes; `all`: whatever the file. */
  shapes: readonly Shape["name"][] | "all";
  ignores: readonly Calibrated[];
  when: (circumstances: Circumstances) => boolean;
  why: string;
};

/** QEMU counted compressed multifd pages by their raw size before this version. */
const COUNTS_COMPRESSED = { major: 8, minor: 1 };

/** Every rule is applied to the figures as read; those that apply are named where nothing else was measured. */
export const rules: readonly Rule[] = [
  {
    shapes: "all",
    ignores: ["totalMs"],
    when: ({ measured }) => measured.totalMs === 0,
    why: "a total time of 0 was read between `completed` and the moment QEMU sets the time",
  },
  {
    // QEMU sets both in one step. The lab's blackout is taken from events.
    shapes: ["qemu-thesis", "socc17"],
    ignores: ["downtimeMs"],
    when: ({ measured }) => measured.totalMs === 0,
    why: "QEMU had not set the downtime either when it was read with a total time of 0",
  },
  {
    // Pre-copy alone has its blackout in QEMU's own figure. The lab's and Drover's are source STOP to destination RESUME.
    shapes: ["qemu-thesis", "socc17"],
    ignores: ["downtimeMs"],
    when: ({ mechanism }) => mechanism !== "pre-copy",
    why: "QEMU's downtime leaves out a pause made before stop-and-copy, and the destination's loading in post-copy and hybrid",
  },
  {
    shapes: "all",
    ignores: ["transferredBytes"],
    when: countsUncompressed,
    why: "QEMU before 8.1 counts multifd's pages by their uncompressed size, and the version is that or unknown",
  },
  {
    shapes: ["qemu-lab"],
    ignores: ["lostVcpuSeconds"],
    when: ({ measured }) => measured.lostVcpuSeconds !== null && measured.lostVcpuSeconds < -0.1,
    why: "lost work under -0.1 s: the guest's rate was not yet steady when it was measured",
  },
  {
    shapes: "all",
    ignores: CALIBRATED,
    when: ({ converged }) => !converged,
    why: "the counters of a run that did not complete are those of when it was given up",
  },
];

/** What may be learned from, and why the rest may not. */
export function withoutMisreported(shape: Shape["name"], seen: Circumstances): { measured: Measured; whys: string[] } {
  const measured = { ...seen.measured };
  const whys: string[] = [];
  for (const { shapes, ignores, when, why } of rules) {
    if ((shapes !== "all" && !shapes.includes(shape)) || !when(seen)) continue;
    const present = ignores.filter((quantity) => seen.measured[quantity] !== null);
    if (present.length > 0) whys.push(why);
    for (const quantity of present) measured[quantity] = null;
  }
  return { measured, whys };
}

function countsUncompressed(seen: Circumstances): boolean {
  const { hypervisor, driver, hypervisorVersion = "", multifdChannels, compression = "none" } = seen;
  if (hypervisor !== "kvm" || driver === "simulated" || compression === "none" || multifdChannels === 0) return false;
  const version = /(\d+)\.(\d+)/.exec(hypervisorVersion);
  if (version === null) return true;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major < COUNTS_COMPRESSED.major || (major === COUNTS_COMPRESSED.major && minor < COUNTS_COMPRESSED.minor);
}
