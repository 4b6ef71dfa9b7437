// Whole plans on record, as canonical JSON. When one differs and the new plan is right, write it anew and read the difference:
//   UPDATE_GOLDEN=1 npm exec -- vitest run --project node test/model/placement && npm run format
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { canonicalJson } from "../../worker/model/canonical.ts";
import { type PlanContent, planContent } from "../../worker/model/placement/types.ts";

/** Expects the plan to be the one in `test/golden/plans/NAME.json`. */
export function expectOnRecord(name: string, plan: PlanContent): void {
  const file = join(import.meta.dirname, `../golden/plans/${name}.json`);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`);
  const recorded: unknown = JSON.parse(readFileSync(file, "utf8"));
  expect(planContent.parse(recorded)).toEqual(plan);
  expect(canonicalJson(recorded)).toBe(canonicalJson(plan));
}

/** "app to hv-02", in the order of the plan. */
export const routeOf = ({ moves }: PlanContent): string[] =>
  moves.map(({ vmName, toHostId }) => `${vmName} to ${toHostId}`);
