import { describe, expect, test } from "vitest";
import type { SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import { rejectionsFor, stayingReasons } from "../../../worker/model/placement/constraints.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";

import type { Rejection } from "../../../worker/model/placement/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { parametersOf, world } from "../../support/world.ts";
import { allowed, type Case, refused } from "./constraint-cases.ts";
import { allowedByRule, refusedByRule } from "./rule-cases.ts";

function rejectionsOf({ vm, from, to, others, world: more, parameters }: Case): Rejection[] {
  const snapshot = world({
    hosts: { "hv-01": from ?? {}, "hv-02": to ?? {} },
    vms: { app: { ...vm, on: "hv-01" }, ...others },
    ...more,
  });
  const [source, destination] = snapshot.hosts as [SnapshotHost, SnapshotHost];
  const [app] = source.vms as [SnapshotVm];
  return rejectionsFor(snapshot, app, destination, parametersOf(parameters));
}

describe("hard constraints", () => {
  test.each([...refused, ...refusedByRule])(
    "refuses $name, with its numbers and a sentence",
    ({ rejection, says, ...question }) => {
      const rejections = rejectionsOf(question);
      expect(rejections).toHaveLength(1);
      const [only] = rejections as [Rejection];
      const { available, ...exact } = rejection;
      expect(only).toMatchObject(exact);
      expect(only.available ?? 0).toBeCloseTo(available ?? only.available ?? 0, 6);
      expect(only.detail).toContain(says);
    },
  );

  test.each([...allowed, ...allowedByRule])("lets pass $name", (question) => {
    expect(rejectionsOf(question)).toEqual([]);
  });

  test("all that stands against a move is told, not only the first", () => {
    const rejections = rejectionsOf({
      name: "",
      vm: { pinned: true, memoryBytes: 63 * GIB, nics: [{ network: "dmz" }] },
      to: { networks: ["lan"], policy: { in: false, out: true } },
    });
    expect(rejections.map(({ constraint }) => constraint)).toEqual(["pinned", "host-policy", "network", "memory"]);
  });

  test("what keeps a VM is known without a destination", () => {
    const snapshot = world({ hosts: { "hv-01": {} }, vms: { app: { on: "hv-01", pinned: true, blockers: ["sev"] } } });
    const found = stayingReasons(createWorld(snapshot, parametersOf()), 0).map(({ constraint }) => constraint);
    expect(found).toEqual(["pinned", "blocker"]);
  });
});
