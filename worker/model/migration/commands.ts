// The recommended migration in the words of the hypervisor. Names in capitals stand for what only the operator knows:
// DESTINATION_URI as QEMU takes it (`tcp:HOST:PORT`), VM_NAME, DESTINATION_LIBVIRT_URI (`qemu+ssh://HOST/system`).
import type { MigrationParameters } from "../wire/command.ts";
import type { Mechanism } from "../wire/common.ts";
import { commandRun, switchoverBytesPerSecond } from "./command-run.ts";
import type { CommandRun } from "./command-run.ts";
import { olderThan } from "./resolve-stream.ts";
import type { EstimateInput, HypervisorCommands } from "./types.ts";
import { virshCommands } from "./virsh.ts";

type Qmp = HypervisorCommands["qmp"];
type Side = Qmp[number]["side"];
type Arguments = NonNullable<Qmp[number]["arguments"]>;

/**
 * QMP commands of both sides in order, and `virsh` commands of the source. The destination's QEMU was started with
 * `-incoming defer`. Both are empty for hypervisors that have neither; QMP alone copies no disks, so that its list is empty
 * where local disks go along.
 */
export function hypervisorCommands(
  input: EstimateInput,
  mechanism: Mechanism,
  parameters: MigrationParameters,
): HypervisorCommands {
  if (input.hypervisor !== "kvm") return { qmp: [], virsh: [] };
  const run = commandRun(input, mechanism, parameters);
  return { qmp: run.localDisks ? [] : qmpCommands(run), virsh: virshCommands(run) };
}

/**
 * What the commands cannot say: when those are due that wait for something, and what was left out. Each with its number; empty
 * where the list is the whole truth.
 */
export function commandNotes(input: EstimateInput, mechanism: Mechanism, parameters: MigrationParameters): string[] {
  if (input.hypervisor !== "kvm") return [];
  const { preCopyRounds, postCopyAfterMs, deadlineMs, onDeadline, multifdChannels } = parameters;
  const run = commandRun(input, mechanism, parameters);
  const without =
    multifdChannels > 0 && !run.multifd
      ? [
          `The commands leave multifd (${multifdChannels} channels) out: only QEMU 10.1 and later can start post-copy with it.`,
        ]
      : [];
  const after = postCopyAfterMs === null ? "" : `, or after ${postCopyAfterMs} ms if that is earlier`;
  if (mechanism === "hybrid")
    return [`migrate-start-postcopy is due when ram.dirty-sync-count is ${preCopyRounds + 1}${after}.`, ...without];
  if (mechanism !== "pre-copy") return without;
  const word = { cancel: "migrate_cancel", force: "stop", "post-copy": "migrate-start-postcopy" }[onDeadline];
  return [`If it still runs after ${deadlineMs} ms, ${word} is due at the source.`, ...without];
}

function qmpCommands(run: CommandRun): Qmp {
  const { mechanism } = run;
  const capabilities = { capabilities: capabilitiesOf(run).map((capability) => ({ capability, state: true })) };
  const incoming = incomingParameters(run);
  const on = (side: Side, execute: string, given?: Arguments): Qmp[number] =>
    given === undefined ? { side, execute } : { side, execute, arguments: given };
  return [
    on("destination", "migrate-set-capabilities", capabilities),
    on("source", "migrate-set-capabilities", capabilities),
    ...(Object.keys(incoming).length > 0 ? [on("destination", "migrate-set-parameters", incoming)] : []),
    on("source", "migrate-set-parameters", { ...incoming, ...outgoingParameters(run) }),
    on("destination", "migrate-incoming", { uri: "DESTINATION_URI" }),
    ...(mechanism === "stop-and-copy" ? [on("source", "stop")] : []),
    on("source", "migrate", { uri: "DESTINATION_URI" }),
    ...(mechanism === "post-copy" ? [on("source", "migrate-start-postcopy")] : []),
    ...(mechanism === "hybrid" ? [on("source", "query-migrate"), on("source", "migrate-start-postcopy")] : []),
    // A VM that left while it stood still arrives so: it is continued when the source says `completed`.
    ...(mechanism === "stop-and-copy" ? [on("source", "query-migrate"), on("destination", "cont")] : []),
  ];
}

function capabilitiesOf({ parameters, mayPostCopy, multifd, xbzrle, compressThreads, input }: CommandRun): string[] {
  const { autoConverge, postCopyPreempt } = parameters;
  const wanted = {
    events: true,
    "return-path": true,
    "auto-converge": autoConverge,
    xbzrle,
    compress: compressThreads > 0,
    multifd,
    "postcopy-ram": mayPostCopy,
    // 7.1 brought it.
    "postcopy-preempt": mayPostCopy && postCopyPreempt && !olderThan(input.hypervisorVersion, 7, 1),
  };
  return Object.entries(wanted).flatMap(([name, isOn]) => (isOn ? [name] : []));
}

/** What both sides must agree on. */
function incomingParameters({ parameters, multifd, compressThreads }: CommandRun): Arguments {
  const { multifdChannels, compression } = parameters;
  return {
    ...(multifd ? { "multifd-channels": multifdChannels, "multifd-compression": compression } : {}),
    ...(compressThreads > 0 ? { "decompress-threads": compressThreads } : {}),
  };
}

function outgoingParameters(run: CommandRun): Arguments {
  const { parameters, mayPostCopy, xbzrle, xbzrleCacheBytes, compressThreads, input } = run;
  const postCopyRate = input.parameters.maxPostCopyBandwidthBytesPerSecond;
  const switchover = switchoverBytesPerSecond(input, parameters);
  return {
    "max-bandwidth": Math.round(parameters.maxBandwidthBytesPerSecond),
    "downtime-limit": parameters.downtimeLimitMs,
    ...(mayPostCopy ? { "max-postcopy-bandwidth": Math.round(postCopyRate ?? 0) } : {}),
    ...(xbzrle && xbzrleCacheBytes !== null ? { "xbzrle-cache-size": xbzrleCacheBytes } : {}),
    ...(compressThreads > 0 ? { "compress-threads": compressThreads } : {}),
    ...(switchover === null ? {} : { "avail-switchover-bandwidth": switchover }),
  };
}
