import type { EstimateAnswer, EstimateInput } from "./types.ts";

type Judged = Pick<EstimateAnswer, "estimates" | "recommended">;

export function betterWindow(
  _input: EstimateInput,
  _now: Judged,
  _judge: (input: EstimateInput, precision: "rough" | "full") => Judged,
): EstimateAnswer["wait"] {
  return null;
}
