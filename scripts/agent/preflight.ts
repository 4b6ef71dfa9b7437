// What this host says of a move that might come here: the driver's own preflight, and what only the agent knows. Nothing is
// prepared, and nothing is promised.
import type { HostInventory } from "../../worker/model/wire/inventory.ts";
import type { PreflightCheck, PreflightQuestion } from "../../worker/model/wire/question.ts";
import { lookedAt, type DriverInventory } from "./driver.ts";
import { permission, place, type JudgeContext } from "./judge.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import { isStopped } from "./policy.ts";

type Side = Pick<HostInventory, "hypervisor" | "hypervisorVersion" | "driver" | "cpu">;

/** `QEMU 7.2.22`: a number for comparing, or null. */
function versionOf(text: string | undefined): number | null {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(text ?? "") ?? [];
  return major === undefined || minor === undefined ? null : Number(major) * 1000 + Number(minor);
}

/** A hypervisor takes VMs of its own kind and driver, and promises to take those of older versions only. */
export function versionsCheck({ source }: Pick<PreflightQuestion, "source">, here: Side): PreflightCheck {
  const name = here.driver.name;
  const reasons: string[] = [];
  if (source.hypervisor !== here.hypervisor)
    reasons.push(`the VM runs on ${source.hypervisor}, this host has ${here.hypervisor}`);
  if (source.driver !== name)
    reasons.push(`the source is driven by ${source.driver}, this host by ${name}: both need the same driver`);
  if (reasons.length > 0) return lookedAt("versions", reasons, "");
  const [there, own] = [versionOf(source.hypervisorVersion), versionOf(here.hypervisorVersion)];
  const words = `${source.hypervisorVersion ?? "a version that is not known"} at the source, ${here.hypervisorVersion ?? "a version that is not known"} here`;
  if (there === null || own === null) return { check: "versions", ok: null, detail: words };
  if (own >= there) return { check: "versions", ok: true, detail: words };
  return { check: "versions", ok: null, detail: `${words}: an older one need not understand what a newer one sends` };
}

/** With the host's own CPU a guest sees what the source has; null where that cannot be compared. */
export function ownCpuDoubt({ vm, source }: PreflightQuestion, here: Side): PreflightCheck[] {
  const isOwn = vm.cpuMode === "host" || vm.cpuMode === "host-passthrough" || vm.cpuMode === "max";
  const model = here.cpu.model;
  if (!isOwn || (source.cpuModel !== undefined && source.cpuModel === model)) return [];
  const detail = `the guest sees the CPU of its host (${vm.cpuMode}): ${source.cpuModel ?? "not known"} at the source, ${model ?? "not known"} here`;
  return [{ check: "cpu", ok: null, detail }];
}

/** What the agent would answer to a prepare that said the same. */
function agentChecks(parts: Parts, question: PreflightQuestion, { vms }: DriverInventory): PreflightCheck[] {
  const { settings, policy, runs, now } = parts;
  const { source: _, type: __, ...rest } = question;
  const move = {
    ...rest,
    type: "migration.prepare",
    migrationId: question.id,
    fencingToken: 1,
    leaseMs: 1000,
  } as const;
  const here = vms.find(({ uuid }) => uuid === question.vm.uuid);
  const context: Pick<JudgeContext, "hostId" | "nowMs" | "stopped" | "policy" | "localVm" | "busyWith"> = {
    hostId: settings.hostId,
    nowMs: now(),
    stopped: isStopped(settings.stopFile),
    policy: policy(),
    localVm: here === undefined ? null : { uuid: here.uuid, name: here.name },
    busyWith: runs.busyWith(question.vm.uuid, ""),
  };
  const said = (objection: { detail: string } | null) => (objection === null ? [] : [objection.detail]);
  return [
    lookedAt("policy", said(permission(move, context)), "this host's local policy permits it now"),
    lookedAt("place", said(place(move, context)), "the VM may come here, and no other migration of it is under way"),
  ];
}

/** Of looks of one name only the worst: an objection before a doubt before what was found. */
function worstOfEach(checks: readonly PreflightCheck[]): PreflightCheck[] {
  const rank = ({ ok }: PreflightCheck): number => (ok === false ? 0 : ok === null ? 1 : 2);
  const worst = new Map<string, PreflightCheck>();
  for (const each of checks) {
    const known = worst.get(each.check);
    if (known === undefined || rank(each) < rank(known)) worst.set(each.check, each);
  }
  return [...worst.values()];
}

/** Every look at whether this host could take the VM. A hypervisor that does not answer is an objection of its own. */
export async function preflight(parts: Parts, question: PreflightQuestion): Promise<PreflightCheck[]> {
  const { driver } = parts;
  const { id: migrationId, vm, mechanism, parameters } = question;
  try {
    const inventory = await driver.inventory();
    return worstOfEach([
      ...agentChecks(parts, question, inventory),
      versionsCheck(question, inventory),
      ...(await driver.preflight({ migrationId, vm, mechanism, parameters })),
      ...ownCpuDoubt(question, inventory),
    ]);
  } catch (error) {
    return [lookedAt("hypervisor", [`the hypervisor does not answer: ${messageOf(error)}`], "")];
  }
}
