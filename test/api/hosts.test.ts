import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { agentOf, call, inventory, vm } from "../support/api.ts";

type VmView = { uuid: string; hostId: string | null; state: string; inventory: { name: string } };
const vmNow = async (uuid: string): Promise<VmView | undefined> =>
  (await call<{ items: VmView[] }>("GET", `/v1/vms?uuid=${uuid}`)).body.items[0];
const placements = async (uuid: string) =>
  (
    await env.DB.prepare("SELECT host_id, to_at IS NULL AS open FROM placements WHERE uuid = ? ORDER BY from_at")
      .bind(uuid)
      .all()
  ).results;

describe("inventory", () => {
  test("a registered host and its VMs can be read back", async () => {
    const web = vm({ name: "web" });
    await agentOf("c1", "hv-1", [web], { rack: "r7" });
    const host = await call<{ hostId: string; inventory: { rack: string } }>("GET", "/v1/hosts/hv-1");
    expect(host.body).toMatchObject({ hostId: "hv-1", inventory: { rack: "r7" } });
    expect(await vmNow(web.uuid)).toMatchObject({ hostId: "hv-1", state: "running", inventory: { name: "web" } });
  });

  test("an older or equal sequence with another content is refused, with the known one", async () => {
    const agent = await agentOf("c1", "hv-seq", []);
    const { status, body } = await agent.put([], { sequence: 1, rack: "other" });
    expect(status).toBe(409);
    expect(body).toMatchObject({ type: "/problems/older-sequence" });
  });

  test("the same inventory again is answered the same", async () => {
    const body = inventory("c1", [vm()]);
    const first = await call("PUT", "/v1/hosts/hv-same", { body });
    const again = await call("PUT", "/v1/hosts/hv-same", { body });
    expect([first.status, again.status]).toEqual([200, 200]);
    expect(again.body).toEqual(first.body);
  });

  test("a host stays in its cluster", async () => {
    await agentOf("c1", "hv-fixed", []);
    expect((await call("PUT", "/v1/hosts/hv-fixed", { body: inventory("c2", []) })).status).toBe(409);
  });

  test("only `operate` sets an agent URL", async () => {
    const agent = await agentOf("c1", "hv-url", []);
    const { status, body } = await agent.put([], { agentUrl: "http://127.0.0.1:9/" });
    expect([status, body["type"]]).toEqual([403, "/problems/missing-scope"]);
    expect((await call("PATCH", "/v1/hosts/hv-url", { body: { agentUrl: "http://127.0.0.1:9/" } })).status).toBe(200);
    expect((await call("GET", "/v1/hosts/hv-url")).body).toMatchObject({ agentUrl: "http://127.0.0.1:9/" });
  });

  test("hosts are listed by pages", async () => {
    for (const hostId of ["p-1", "p-2", "p-3"]) await agentOf("c-page", hostId, []);
    const first = await call<{ items: { hostId: string }[]; next: string }>("GET", "/v1/hosts?cluster=c-page&limit=2");
    expect(first.body.items.map((host) => host.hostId)).toEqual(["p-1", "p-2"]);
    const rest = await call<{ items: { hostId: string }[]; next: null }>(
      "GET",
      `/v1/hosts?cluster=c-page&limit=2&after=${first.body.next}`,
    );
    expect([rest.body.items.map((host) => host.hostId), rest.body.next]).toEqual([["p-3"], null]);
  });
});

describe("where a VM is", () => {
  test("follows it from host to host, with its history", async () => {
    const mover = vm();
    const a = await agentOf("c2", "hv-a", [mover]);
    const b = await agentOf("c2", "hv-b", []);
    await b.put([{ ...mover, state: "inmigrate" }]);
    expect((await vmNow(mover.uuid))?.hostId).toBe("hv-a");
    await a.put([{ ...mover, state: "postmigrate" }]);
    expect((await vmNow(mover.uuid))?.hostId).toBe("hv-a");
    await b.put([mover]);
    expect((await vmNow(mover.uuid))?.hostId).toBe("hv-b");
    await a.put([]);
    expect((await vmNow(mover.uuid))?.hostId).toBe("hv-b");
    expect(await placements(mover.uuid)).toEqual([
      { host_id: "hv-a", open: 0 },
      { host_id: "hv-b", open: 1 },
    ]);
  });

  test("is nowhere when its host no longer has it, and its fencing token is kept", async () => {
    const gone = vm();
    const a = await agentOf("c2", "hv-gone", [gone]);
    await env.DB.prepare("UPDATE vms SET fencing_token = 7 WHERE uuid = ?").bind(gone.uuid).run();
    await a.put([]);
    expect((await vmNow(gone.uuid))?.hostId).toBeNull();
    await a.put([gone]);
    const row = await env.DB.prepare("SELECT host_id, fencing_token FROM vms WHERE uuid = ?").bind(gone.uuid).first();
    expect(row).toEqual({ host_id: "hv-gone", fencing_token: 7 });
  });
});

test("a heartbeat is one written row and makes the host heard", async () => {
  const agent = await agentOf("c3", "hv-beat", []);
  const before = await env.DB.prepare("SELECT heard_at FROM host_state").first<{ heard_at: number }>();
  expect((await agent.beat({})).status).toBe(200);
  const host = await call<{ heardAt: number }>("GET", "/v1/hosts/hv-beat");
  expect(host.body.heardAt).toBeGreaterThanOrEqual(before?.heard_at ?? 0);
});

test("a heartbeat of an unknown host is a 404 that says what to do", async () => {
  const agent = await agentOf("c3", "hv-known", []);
  await env.DB.prepare("DELETE FROM hosts WHERE id = 'hv-known'").run();
  const { status, body } = await agent.beat({});
  expect(status).toBe(404);
  expect(body).toMatchObject({ type: "/problems/host-not-found", advice: expect.stringContaining("PUT /v1/hosts") });
});
