// The fleet, a host, a VM, an estimate and a why-not as messages.
import type { SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { EstimateAnswer } from "../migration/types.ts";
import { counted, cores, duration, rate, size } from "../placement/format.ts";
import type { WhyNot } from "../placement/index.ts";
import { HOST_STALE_MS } from "../units.ts";
import type { Block, Message, Table } from "./message.ts";
import { ago, share, signed, spread, when } from "./words.ts";

export type FleetSeen = {
  hosts: { known: number; fresh: number };
  activeMigrations: readonly {
    migrationId: string;
    vmName: string;
    fromHostId: string;
    toHostId: string;
    state: string;
  }[];
  waitingPlans: readonly { planId: string; cluster: string; goal: string; expiresAt: number }[];
  policies: { enabled: number; unreadable: readonly unknown[] };
  webhooks: { paused: number; waiting: number };
};

const LISTED_MAX = 10;

export function fleetMessage(fleet: FleetSeen): Message {
  const { hosts, activeMigrations, waitingPlans, policies, webhooks } = fleet;
  const silent = hosts.known - hosts.fresh;
  const troubles = [
    ...(silent > 0 ? [`${counted(silent, "host")} not heard within 30 s`] : []),
    ...(policies.unreadable.length > 0 ? [`${policies.unreadable.length} policies cannot be read`] : []),
    ...(webhooks.paused > 0 ? [`${counted(webhooks.paused, "webhook")} paused`] : []),
  ];
  return {
    tone: troubles.length > 0 ? "bad" : activeMigrations.length > 0 ? "running" : "good",
    title: hosts.known === 0 ? "No hosts yet" : `${hosts.fresh} of ${counted(hosts.known, "host")} heard`,
    blocks: [
      ...(hosts.known === 0 ? [{ kind: "text" as const, text: ["Connect a hypervisor: see the README."] }] : []),
      {
        kind: "facts",
        facts: [
          ["Migrations under way", String(activeMigrations.length)],
          ["Plans that wait", String(waitingPlans.length)],
          ["Policies", String(policies.enabled)],
          ["Deliveries that wait", String(webhooks.waiting)],
        ],
      },
      ...(troubles.length > 0
        ? [{ kind: "text" as const, text: [{ bold: "Look at:" }, ` ${troubles.join("; ")}`] }]
        : []),
      ...tableOr(activeMigrations.length, {
        columns: [{ title: "migration" }, { title: "VM" }, { title: "from → to" }, { title: "state" }],
        rows: activeMigrations
          .slice(0, LISTED_MAX)
          .map((run) => [idEnd(run.migrationId), run.vmName, `${run.fromHostId} → ${run.toHostId}`, run.state]),
        more: Math.max(0, activeMigrations.length - LISTED_MAX),
      }),
      ...waitingPlans.slice(0, 5).map((plan): Block => ({
        kind: "text",
        text: [{ code: plan.planId }, ` ${plan.goal} ${plan.cluster}, void ${when(plan.expiresAt)}`],
      })),
    ],
  };
}

const idEnd = (id: string): string => (id.length > 12 ? `…${id.slice(-8)}` : id);
const tableOr = (count: number, table: Table): Block[] => (count === 0 ? [] : [{ kind: "table", table }]);

const committedBytes = ({ vms }: SnapshotHost): number =>
  vms.reduce((sum, vm) => sum + vm.memoryBytes + (vm.overheadBytes ?? 0), 0);

/** In one word or two. */
export function conditionOf(host: SnapshotHost, now: number): string {
  if (host.heardAt === undefined) return "never heard";
  if (now - host.heardAt > HOST_STALE_MS) return `silent ${duration(now - host.heardAt)}`;
  if (host.maintenance !== undefined) return "maintenance";
  return host.contradicts !== undefined || host.unreadable !== undefined ? "unknown" : "ok";
}

const HOSTS_MAX = 40;

export function hostsMessage(hosts: readonly SnapshotHost[], now: number): Message {
  const troubled = hosts.filter((host) => conditionOf(host, now) !== "ok").length;
  return {
    tone: troubled > 0 ? "bad" : "good",
    title: hosts.length === 0 ? "No hosts" : counted(hosts.length, "host"),
    blocks: tableOr(hosts.length, {
      columns: [
        { title: "host" },
        { title: "cluster" },
        { title: "VMs", isRight: true },
        { title: "CPU", isRight: true },
        { title: "memory", isRight: true },
        { title: "state" },
      ],
      rows: hosts
        .slice(0, HOSTS_MAX)
        .map((host) => [
          host.hostId,
          host.cluster,
          String(host.vms.length),
          share(host.load.cpuUsedCores, host.cpu.cores),
          share(committedBytes(host), host.memoryBytes),
          conditionOf(host, now),
        ]),
      more: Math.max(0, hosts.length - HOSTS_MAX),
    }),
  };
}

export function hostMessage(host: SnapshotHost, now: number): Message {
  const condition = conditionOf(host, now);
  const { maintenance, load } = host;
  const until = maintenance?.until === undefined ? "until it is ended" : `until ${when(maintenance.until)}`;
  return {
    tone: condition === "ok" ? "good" : "bad",
    title: `${host.hostId}: ${condition}`,
    blocks: [
      {
        kind: "facts",
        facts: [
          ["Cluster", host.cluster],
          ["Heard", ago(host.heardAt ?? null, now)],
          ["CPU", `${share(load.cpuUsedCores, host.cpu.cores)} of ${cores(host.cpu.cores)} cores`],
          ["Memory committed", `${share(committedBytes(host), host.memoryBytes)} of ${size(host.memoryBytes)}`],
          ["Hypervisor", `${host.hypervisor}, ${host.driver.name}`],
          ...(maintenance === undefined
            ? []
            : [["Maintenance", `${until}: ${maintenance.reason}`] as [string, string]]),
        ],
      },
      ...tableOr(host.vms.length, {
        columns: [
          { title: "VM" },
          { title: "state" },
          { title: "vCPUs", isRight: true },
          { title: "memory", isRight: true },
          { title: "cores used", isRight: true },
          { title: "dirties", isRight: true },
        ],
        rows: host.vms
          .slice(0, HOSTS_MAX)
          .map((vm) => [
            vm.name,
            vm.state,
            String(vm.vcpus),
            size(vm.memoryBytes),
            vm.load.cpuUsedCores === undefined ? "?" : cores(vm.load.cpuUsedCores),
            vm.load.memoryDirtyBytesPerSecond === undefined ? "?" : rate(vm.load.memoryDirtyBytesPerSecond),
          ]),
        more: Math.max(0, host.vms.length - HOSTS_MAX),
      }),
    ],
  };
}

/** `host` null: it runs nowhere that is known. */
export function vmMessage(vm: SnapshotVm, host: SnapshotHost | null, now: number): Message {
  const { load, blockers = [] } = vm;
  const known = (value: number | undefined, tell: (value: number) => string): string =>
    value === undefined ? "unknown" : tell(value);
  return {
    tone: vm.state === "running" ? "good" : "bad",
    title: `${vm.name}: ${vm.state}${host === null ? "" : ` on ${host.hostId}`}`,
    blocks: [
      {
        kind: "facts",
        facts: [
          ["Cluster", host?.cluster ?? "unknown"],
          ["Size", `${vm.vcpus} vCPUs, ${size(vm.memoryBytes)}`],
          ["Cores used", known(load.cpuUsedCores, cores)],
          ["Memory not zero", known(load.memoryNonzeroBytes, size)],
          ["Dirties", known(load.memoryDirtyBytesPerSecond, rate)],
          ["Figures are of", load.at === undefined ? "never" : ago(load.at, now)],
        ],
      },
      ...(blockers.length > 0 || vm.pinned === true
        ? [
            {
              kind: "text" as const,
              text: [`Stays where it is: ${[...blockers, ...(vm.pinned === true ? ["pinned"] : [])].join(", ")}.`],
            },
          ]
        : []),
      { kind: "note", text: [{ code: vm.uuid }] },
    ],
  };
}

export function estimateMessage(
  vmName: string,
  toHostId: string,
  { estimates, recommended, assumptions }: EstimateAnswer,
): Message {
  const best = recommended?.mechanism;
  // Parameters have defaults; of the VM and the link something is not known.
  const assumed = assumptions.map(({ field }) => field).filter((field) => /^(vm|link)\./.test(field));
  return {
    tone: recommended === null ? "bad" : "plain",
    title:
      recommended === null ? `${vmName} cannot be moved to ${toHostId}` : `${vmName} to ${toHostId}: best by ${best}`,
    blocks: [
      {
        kind: "table",
        table: {
          columns: [
            { title: "how" },
            { title: "down p50 / p90", isRight: true },
            { title: "takes p50 / p90", isRight: true },
            { title: "sends", isRight: true },
            { title: "" },
          ],
          rows: estimates.map((one) => [
            one.mechanism,
            spread(one.downtimeMs),
            spread(one.totalMs),
            size(one.transferredBytes.p50),
            one.rejected !== null ? "out" : one.mechanism === best ? "best" : "",
          ]),
          more: 0,
        },
      },
      ...(recommended === null || recommended.reasons.length === 0
        ? []
        : [{ kind: "text" as const, text: [recommended.reasons.map((reason) => `· ${reason}`).join("\n")] }]),
      // The reasons for the best one say why the others are out.
      ...(recommended === null ? estimates : []).flatMap(({ mechanism, rejected }): Block[] =>
        rejected === null ? [] : [{ kind: "text", text: [`× not ${mechanism}: ${rejected.detail}`] }],
      ),
      ...(assumed.length === 0 ? [] : [{ kind: "note" as const, text: [`Not known, assumed: ${assumed.join(", ")}`] }]),
    ],
  };
}

export function whyNotMessage({ vmName, hostId, answer, blocking, unblock, gain, estimate }: WhyNot): Message {
  return {
    tone: "plain",
    title: `Why not ${vmName} to ${hostId}`,
    blocks: [
      { kind: "text", text: [answer] },
      ...(blocking.length === 0
        ? []
        : [
            {
              kind: "text" as const,
              text: [blocking.map(({ constraint, detail }) => `× ${constraint}: ${detail}`).join("\n")],
            },
          ]),
      ...(unblock.length === 0
        ? []
        : [
            {
              kind: "text" as const,
              text: [{ bold: "What would change it" }, "\n", unblock.map(({ change }) => `· ${change}`).join("\n")],
            },
          ]),
      ...(gain === null || estimate === null
        ? []
        : [
            {
              kind: "note" as const,
              text: [`by ${estimate.mechanism}: stands still ${spread(estimate.downtimeMs)}, gain ${signed(gain.net)}`],
            },
          ]),
    ],
  };
}
