// A client of the API in workerd, and builders that show only what matters.
import { env, exports } from "cloudflare:workers";
import type { Scope } from "../../worker/model/principal.ts";
import type { HostInventory, VmInventory } from "../../worker/model/wire/inventory.ts";

export type Answer<T = Record<string, unknown>> = { status: number; headers: Headers; body: T };

/** Sends one request as `token` (the admin's unless told otherwise; null: none) and reads the JSON answer. */
export async function call<T = Record<string, unknown>>(
  method: string,
  path: string,
  options: { body?: unknown; token?: string | null; headers?: Record<string, string> } = {},
): Promise<Answer<T>> {
  const { body, token = env.ADMIN_TOKEN, headers = {} } = options;
  const response = await exports.default.fetch(
    new Request(`https://drover.test${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    }),
  );
  return { status: response.status, headers: response.headers, body: (await response.json()) as T };
}

/** A new token with these scopes. */
export async function tokenFor(scopes: Scope[], bound: { hostId?: string; cluster?: string } = {}): Promise<string> {
  const { body } = await call<{ token: string }>("POST", "/v1/tokens", {
    body: { name: scopes.join(" "), scopes, ...bound },
  });
  return body.token;
}

let made = 0;
/** A uuid that differs from all others of this test file, the same in every run. */
export const vmId = (): string => `00000000-0000-4000-8000-${(++made).toString(16).padStart(12, "0")}`;

export const GIB = 2 ** 30;

export function vm(fields: Partial<VmInventory> = {}): VmInventory {
  const uuid = fields.uuid ?? vmId();
  return { uuid, name: `vm-${uuid.slice(-4)}`, state: "running", vcpus: 2, memoryBytes: 2 * GIB, ...fields };
}

let sequence = 0;
export function inventory(cluster: string, vms: VmInventory[], fields: Partial<HostInventory> = {}): HostInventory {
  return {
    cluster,
    sequence: ++sequence,
    bootId: "boot-1",
    hypervisor: "kvm",
    driver: { name: "simulated" },
    cpu: { cores: 16 },
    memoryBytes: 64 * GIB,
    migration: { bytesPerSecond: 1.2e9, rttMs: 0.2 },
    vms,
    ...fields,
  };
}

export type Agent = {
  hostId: string;
  token: string;
  put: (vms: VmInventory[], fields?: Partial<HostInventory>) => Promise<Answer>;
  beat: (vms: Record<string, string>) => Promise<Answer<{ commands: { id: string; body: string }[] }>>;
  load: (cpuUsedCores: number, vms: Record<string, number>) => Promise<Answer>;
  report: (
    migrationId: string,
    event: Record<string, unknown>,
  ) => Promise<Answer<{ duplicate: boolean; applied: boolean; state: string }>>;
};

/** A host with its own token, speaking as its agent would. */
export async function agentOf(
  cluster: string,
  hostId: string,
  vms: VmInventory[],
  fields: Partial<HostInventory> = {},
): Promise<Agent> {
  const token = await tokenFor(["agent"], { hostId });
  let events = 0;
  const agent: Agent = {
    hostId,
    token,
    put: (now, more = {}) =>
      call("PUT", `/v1/hosts/${hostId}`, { token, body: inventory(cluster, now, { ...fields, ...more }) }),
    beat: (states) =>
      call("POST", `/v1/hosts/${hostId}/heartbeat`, { token, body: { bootId: "boot-1", at: Date.now(), vms: states } }),
    load: (cpuUsedCores, byVm) => {
      const at = Date.now();
      return call("POST", "/v1/telemetry", {
        token,
        body: {
          host: hostId,
          batch: crypto.randomUUID(),
          times: [at],
          host_series: { cpu_used_cores: [cpuUsedCores] },
          vm_series: Object.fromEntries(
            Object.entries(byVm).map(([uuid, cores]) => [
              uuid,
              { cpu_used_cores: [cores], memory_nonzero_bytes: [GIB / 2], memory_dirty_bytes_per_second: [2_000_000] },
            ]),
          ),
        },
      });
    },
    report: (migrationId, event) =>
      call("POST", `/v1/migrations/${migrationId}/events`, {
        token,
        body: { hostId, bootId: "boot-1", sequence: ++events, at: Date.now(), fencingToken: 1, ...event },
      }),
  };
  await agent.put(vms);
  return agent;
}

/** Asks again until `holds`, for what happens by itself behind the API; fails after about ten seconds. */
export async function eventually<T>(ask: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  const until = Date.now() + 10_000;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (Date.now() > until) throw new Error(`never held: ${JSON.stringify(value).slice(0, 2000)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
