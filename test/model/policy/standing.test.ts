// Which of a policy's plans go on waiting when it runs again.
import { describe, expect, test } from "vitest";
import { replaces, stillWanted } from "../../../worker/model/policy/decide.ts";
import { goalStep } from "../../../worker/model/policy/policy.ts";

describe("a plan that waits is still wanted", () => {
  const planOf = (goal: string, ...moves: string[]) => ({
    goal,
    moves: moves.map((move) => {
      const [vm = "", fromHostId = "", toHostId = ""] = move.split(" ");
      return { vm, fromHostId, toHostId };
    }),
  });
  const waiting = planOf("balance", "a x y", "b x z");
  test.each([
    ["by the same moves, in whatever order", planOf("balance", "b x z", "a x y"), true],
    ["by more moves", planOf("balance", "a x y", "b x z", "c x y"), true],
    ["by half of them", planOf("balance", "a x y", "c x z"), true],
    ["not by less", planOf("balance", "c x z"), false],
    ["not by the same VMs to other hosts", planOf("balance", "a x z", "b x y"), false],
    ["not by another goal", planOf("evacuate", "a x y", "b x z"), false],
  ])("%s", (_, fresh, wanted) => {
    expect(stillWanted(waiting, fresh)).toBe(wanted);
  });
});

describe("a plan that waits gives way to a run", () => {
  const policy = (goal: string, parameters = {}) => ({ goals: [goalStep.parse({ goal, parameters })] });
  const planFor = (hostIds?: string[]) => ({ parameters: { hostIds } });
  test.each([
    ["of a policy for the whole cluster", policy("balance"), null, planFor(), true],
    ["of one whose hosts are given", policy("evacuate", { hostIds: ["a"] }), "b", planFor(["a"]), true],
    ["about its own host", policy("evacuate"), "a", planFor(["a"]), true],
    ["not about another", policy("evacuate"), "b", planFor(["a"]), false],
    ["nor about none", policy("evacuate"), null, planFor(["a"]), false],
  ])("%s", (_, of, hostId, waiting, gives) => {
    expect(replaces(of, hostId, waiting)).toBe(gives);
  });
});
