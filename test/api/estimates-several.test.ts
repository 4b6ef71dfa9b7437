import { describe, expect, test } from "vitest";
import type { SeveralAnswer } from "../../worker/model/migration/several-types.ts";
import { GIB, agentOf, call, vm } from "../support/api.ts";

type Problem = { type: string; issues: { path: string; message: string }[] };
const several = <Body = SeveralAnswer>(body: unknown) => call<Body>("POST", "/v1/estimates/several", { body });
const guest = { vm: { memoryBytes: 4 * GIB, nonzeroBytes: GIB, dirtyRateBytesPerSecond: 1e6 } };

describe("POST /v1/estimates/several", () => {
  test("answers plans for every number at a time, from the bodies alone", async () => {
    const { status, body } = await several({ migrations: [guest, guest, guest], linkBytesPerSecond: 1e9 });
    expect(status).toBe(200);
    expect(body.plans.map(({ atATime }) => atATime)).toEqual([1, 2, 3]);
    expect(body.recommended.reasons.length).toBeGreaterThan(0);
    expect(body.mechanism).toBe("pre-copy");
  });

  test("fills in from telemetry what the bodies leave out", async () => {
    const guests = [vm({ memoryBytes: 4 * GIB }), vm({ memoryBytes: 4 * GIB })];
    const a = await agentOf("c-several", "several-a", guests);
    const b = await agentOf("c-several", "several-b", []);
    await a.load(1, Object.fromEntries(guests.map(({ uuid }) => [uuid, 0.5])));
    await b.load(1, {});
    const migrations = guests.map(({ uuid }) => ({ vmId: uuid, toHostId: "several-b" }));
    const { status, body } = await several({ migrations });
    expect(status).toBe(200);
    expect(body.given.migrations).toHaveLength(2);
    expect(body.given.transferredBytes).toBeLessThan(4 * GIB);
    const unknown = await several<Problem>({ migrations: [...migrations, { ...migrations[0], toHostId: "nowhere" }] });
    expect([unknown.status, unknown.body.type]).toEqual([404, "/problems/host-not-found"]);
  });

  test.each([
    [{ migrations: [guest] }, "migrations"],
    [{ migrations: [guest, {}] }, "migrations.1.vm.memoryBytes"],
    [{ migrations: [guest, { vm: { ...guest.vm, nonzeroBytes: 5 * GIB } }] }, "migrations.1.vm.nonzeroBytes"],
    [{ migrations: [guest, { ...guest, hypervisor: "xen" }], mechanism: "hybrid" }, "migrations.1.hypervisor"],
    [{ migrations: [guest, guest], linkBytesPerSecond: 0 }, "linkBytesPerSecond"],
    [{ migrations: [guest, guest], linkBytesPerSecond: 5 }, "linkBytesPerSecond"],
    [{ migrations: [guest, guest], atATime: 2 }, "atATime"],
  ])("refuses impossible input with the field (case %#)", async (body, path) => {
    const { status, body: problem } = await several<Problem>(body);
    expect(status).toBe(422);
    expect(problem.issues.map((issue) => issue.path)).toContain(path);
  });
});
