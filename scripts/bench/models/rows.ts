// Measured migrations as the bench reads them: what was knowable before, and what then happened.
import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { estimateInput } from "../../../worker/model/migration/types.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";

/** `collector`: what an agent can know before. `oracle`: the guest's workload as it was configured too. */
export type Track = "collector" | "oracle";

export type Measured = {
  totalMs: number | null;
  bytes: number | null;
  /** Source STOP to destination RESUME. */
  downtimeMs: number | null;
  lostVcpuSeconds: number | null;
  converged: boolean;
};

export type Row = {
  id: string;
  case: "qemu-lab" | "qemu-thesis" | "openstack";
  /** Outcomes of one cluster calibrate each other. */
  cluster: string;
  /** What was moved: rows of one subject say much the same. */
  subject: string;
  /** Rows of one fold are predicted from all others: a configuration of the lab, a scenario of the thesis. */
  fold: string;
  /** For the tables: `pre-copy` with its options, or the mechanism. */
  group: string;
  mechanism: Mechanism;
  /** Left out of every judgement: something else ran on the host. */
  disturbed: boolean;
  inputs: Partial<Record<Track, EstimateInput>>;
  measured: Measured;
};

/** The lines of a file, without the empty last one; none where the file is absent. */
export function linesOf(folder: string, ...path: string[]): string[] {
  const file = join(folder, ...path);
  return existsSync(file)
    ? readFileSync(file, "utf8")
        .split(/\r?\n/)
        .filter((line) => line.trim() !== "")
    : [];
}

/** Rows of a CSV file without quoting, by the names in its header. */
export function tableOf(folder: string, ...path: string[]): Record<string, string>[] {
  const [header = "", ...rows] = linesOf(folder, ...path);
  const names = header.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((value, column) => [names[column] ?? "", value])));
}

/** A number of a CSV cell; null where it is empty. */
export function numberOf(cell: string | undefined): number | null {
  return cell === undefined || cell.trim() === "" || Number.isNaN(Number(cell)) ? null : Number(cell);
}

/** With the defaults of the API filled in, so that a row that the API would refuse is refused here. */
export function inputOf(body: unknown): EstimateInput {
  return estimateInput.parse(body);
}
