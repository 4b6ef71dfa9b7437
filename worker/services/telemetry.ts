// Taking native telemetry in.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Principal } from "../model/principal.ts";
import { type BatchAnswer, lookup } from "../model/telemetry/batch-ring.ts";
import { acceptBatch } from "../model/telemetry/ingest.ts";
import { RETENTION_MS } from "../model/telemetry/retention.ts";
import { HOST_FRESH_MS } from "../model/units.ts";
import type { CommandEnvelope } from "../model/wire/command.ts";
import type { TelemetryBatch } from "../model/wire/telemetry.ts";
import type { HostTelemetry } from "../model/telemetry/stored.ts";
import { envelopes, pendingEnvelopes } from "./commands.ts";
import { type Decision, writeHosts } from "./host-writes.ts";
import { wakeRuns } from "./hosts.ts";

export type IngestAnswer = { batch: string; commands: CommandEnvelope[] } & BatchAnswer;

/**
 * `POST /v1/telemetry`. An answer means stored: the samples, the latest values and the batch's id are written together. A
 * batch that was answered before is answered the same and changes nothing. `hash` is of the body.
 */
export async function ingest(
  deps: Deps,
  principal: Principal,
  batch: TelemetryBatch,
  hash: string,
): Promise<IngestAnswer> {
  // Run states stand in for a heartbeat, and the answer to one has the agent's commands.
  const wantsCommands = batch.vm_states !== undefined && principal.scopes.includes("agent");
  const decide = decision(batch, hash, deps.now());
  const { answers, commands } = await writeHosts(
    deps,
    [batch.host],
    (host) => {
      // A host of another cluster is told like one that does not exist.
      if (principal.cluster !== null && principal.cluster !== host.cluster) throw unknownHost(batch.host);
      return decide(host);
    },
    wantsCommands ? batch.host : null,
  );
  const answer = answers.get(batch.host);
  if (answer === undefined) throw unknownHost(batch.host);
  deps.counts.telemetry.stored += answer.stored;
  deps.counts.telemetry.refused += answer.refusedCount;
  if (batch.vm_states !== undefined) await wakeRuns(deps, batch.host);
  if (!wantsCommands) return { batch: batch.batch, ...answer, commands: [] };
  const pending = commands === null ? pendingEnvelopes(deps, batch.host) : envelopes(deps, commands);
  return { batch: batch.batch, ...answer, commands: await pending };
}

const unknownHost = (id: string) => new AppError({ code: "not_found", what: "host", id });

function decision(batch: TelemetryBatch, hash: string, now: number): (host: HostTelemetry) => Decision<BatchAnswer> {
  const { frame, curves, accepted, refused, refusedCount } = acceptBatch(batch, now, RETENTION_MS.raw);
  const answer = { stored: accepted, refused, refusedCount };
  return (host) => {
    const before = lookup(host.ring, batch.batch, hash);
    if (before === "conflict") throw new AppError({ code: "batch_conflict", batch: batch.batch });
    if (before !== "new") return { answer: before.answer, input: null };
    const entry = { id: batch.batch, hash, at: now, answer };
    return { answer, input: { frame, curves, batch: entry, counters: null, heard: lifeSign(batch, now) } };
  };
}

/** Run states stand in for a heartbeat only in a batch that reaches to the present: a spool says what was, not what is. */
function lifeSign({ times, vm_states: vmStates }: TelemetryBatch, now: number) {
  const newest = times.reduce((latest, time) => Math.max(latest, time));
  return vmStates !== undefined && newest >= now - HOST_FRESH_MS ? { at: now, vmStates } : null;
}
