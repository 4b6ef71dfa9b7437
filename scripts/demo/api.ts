// The demo's view of Drover: its HTTP API and nothing else, as a user has it.
import { hc, type ClientResponse } from "hono/client";
import type { AppType } from "../../worker/app.ts";
import type { Goal, PlanParameters } from "../../worker/model/placement/types.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun, TimelineEntry } from "../../worker/model/run.ts";
import type { PreflightView } from "../../worker/services/preflights.ts";
import type { Latest } from "../../worker/model/telemetry/known.ts";

export type FleetHost = {
  hostId: string;
  cores: number;
  memoryBytes: number;
  /** VMs that run there. */
  vmUuids: string[];
  latest: Latest | null;
};

export type Api = {
  agentToken: (hostId: string) => Promise<string>;
  /** Null: commands come in answers to the agent only. */
  setAgentUrl: (hostId: string, agentUrl: string | null) => Promise<void>;
  fleet: (cluster: string) => Promise<FleetHost[]>;
  plan: (cluster: string, goal: Goal, parameters: Partial<PlanParameters>) => Promise<Plan>;
  readPlan: (planId: string) => Promise<Plan>;
  approve: (plan: Plan, reason: string) => Promise<Plan>;
  reject: (plan: Plan, reason: string) => Promise<Plan>;
  /** What the host's agent says of taking the VM, and of the link to it. */
  preflight: (vmId: string, toHostId: string) => Promise<PreflightView>;
  migrations: (planId: string) => Promise<MigrationRun[]>;
  cancel: (migrationId: string, reason: string) => Promise<MigrationRun>;
  /** Every event of a migration as it was received. */
  timeline: (migrationId: string) => Promise<TimelineEntry[]>;
  /** The newest entries of the audit log. */
  audit: () => Promise<{ action: string; subject: string; reason: string | null }[]>;
};

/** The body of a good answer; of a bad one an Error with what the problem says. */
async function good<T>(pending: Promise<ClientResponse<T>>): Promise<T> {
  const response = await pending;
  if (response.ok) return (await response.json()) as T;
  throw new Error(`${response.status} from ${new URL(response.url).pathname}: ${await response.text()}`);
}

export function createApi(url: string, token: string): Api {
  const { v1 } = hc<AppType>(url, { headers: { authorization: `Bearer ${token}` } });
  const limit = "1000";
  return {
    agentToken: async (hostId) =>
      (await good(v1.tokens.$post({ json: { name: `agent of ${hostId}`, scopes: ["agent"], hostId } }))).token,
    setAgentUrl: async (hostId, agentUrl) => {
      await good(v1.hosts[":hostId"].$patch({ param: { hostId }, json: { agentUrl } }));
    },
    fleet: async (cluster) => {
      const [hosts, vms, latest] = await Promise.all([
        good(v1.hosts.$get({ query: { cluster, limit } })),
        good(v1.vms.$get({ query: { cluster, limit } })),
        good(v1.latest.$get({ query: { cluster, limit } })),
      ]);
      return hosts.items.map(({ hostId, inventory }) => ({
        hostId,
        vmUuids: vms.items.filter((vm) => vm.hostId === hostId && vm.state === "running").map(({ uuid }) => uuid),
        cores: inventory.cpu.cores,
        memoryBytes: inventory.memoryBytes,
        latest: latest.items.find((item) => item.hostId === hostId)?.latest ?? null,
      }));
    },
    // Without `dryRun` and `snapshot` it is the stored plan that is answered.
    plan: (cluster, goal, parameters) =>
      good(v1.plans.$post({ json: { cluster, goal, parameters } }) as Promise<ClientResponse<Plan>>),
    readPlan: (planId) => good(v1.plans[":planId"].$get({ param: { planId } })),
    approve: ({ planId, contentHash }, reason) =>
      good(v1.plans[":planId"].approve.$post({ param: { planId }, json: { contentHash, reason } })),
    reject: ({ planId }, reason) => good(v1.plans[":planId"].reject.$post({ param: { planId }, json: { reason } })),
    preflight: (vmId, toHostId) => good(v1.moves.preflight.$post({ json: { vmId, toHostId, probe: true } })),
    migrations: async (planId) => (await good(v1.migrations.$get({ query: { planId, limit } }))).items,
    cancel: (migrationId, reason) =>
      good(v1.migrations[":migrationId"].cancel.$post({ param: { migrationId }, json: { reason } })),
    timeline: async (migrationId) =>
      (
        (await good(v1.migrations[":migrationId"].events.$get({ param: { migrationId }, query: {} }))) as {
          items: TimelineEntry[];
        }
      ).items,
    audit: async () => (await good(v1.audit.$get({ query: { limit: "100" } }))).items,
  };
}
