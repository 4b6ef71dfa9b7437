// Commands that come twice, too late, or from somebody else.
import { createPrivateKey, generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import type { MigrationRun } from "../../../../worker/model/run.ts";
import { MIB } from "../../../../worker/model/units.ts";
import type { StartCommand } from "../../../../worker/model/wire/command.ts";
import { readDescriptor } from "../../../agent/qmp/descriptor.ts";
import { arrived, type FaultCase } from "../case.ts";
import type { LabGuest } from "../guests.ts";
import { qmpDirectory } from "../host.ts";
import { guestOf, onlyRun, otherSite, outcome, setOut, until, type Play } from "../play.ts";
import { startRelay } from "../relay.ts";
import type { Site } from "../site.ts";

const RECORD_MS_MAX = 20_000;
const MINUTE_MS = 60_000;
const BEATS_AFTER = 50;
const BEATS_MS_MAX = 20_000;
const QUICK = { mechanisms: ["pre-copy" as const], bandwidthBytesPerSecondMax: 32 * MIB };

/** What stands before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

function keyOf(secret: string): KeyObject {
  const seed = Buffer.from(secret.slice("whsk_".length), "base64").subarray(0, 32);
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
}

async function deliveredTwice(play: Play): Promise<string> {
  const { edge, lane } = play;
  const relays = await Promise.all(lane.sites.map(startRelay));
  try {
    for (const [index, { hostId }] of lane.sites.entries())
      await edge.api.setAgentUrl(hostId, relays[index]?.url ?? "");
    const moving = await setOut(play, [guestOf(lane, "calm-1")], QUICK);
    const said = await outcome(play, moving);
    const { migrationId } = await onlyRun(play, moving);
    const deliveries = relays.flatMap((relay) => relay.deliveries);
    const twoWays = deliveries.filter(({ alsoOtherwise }) => alsoOtherwise).length;
    const begun = lane.sites.flatMap(({ agent }) =>
      agent.log.filter((line) => line.msg === "a command was taken" && line["migrationId"] === migrationId),
    );
    const accepted = (await edge.api.timeline(migrationId)).filter(({ type }) => type === "accepted").length;
    return `${twoWays} commands by two ways at once, ${begun.length} taken, ${accepted} start; ${said}`;
  } finally {
    for (const { hostId } of lane.sites) await clearAgentUrl(play, hostId);
    for (const relay of relays) await relay.close();
  }
}

const clearAgentUrl = ({ edge }: Play, hostId: string): Promise<void> => edge.api.setAgentUrl(hostId, null);

type Forgery = { site: Site; guest: LabGuest; run: MigrationRun };

/** A run of this guest that has ended: what a late or forged command would be about. */
async function earlierRun(play: Play): Promise<Forgery> {
  const guest = guestOf(play.lane, "calm-1");
  const kept = play.keptOf(guest.uuid);
  if (kept !== undefined) return { site: guest.site, guest, run: kept };
  const moving = await setOut(play, [guest], QUICK);
  await outcome(play, moving);
  return { site: guest.site, guest, run: await onlyRun(play, moving) };
}

/** A start of the same guest, from where it is now to where it was. */
function startAgain(play: Play, { site, guest, run }: Forgery, issuedAt: number): StartCommand {
  const known = readDescriptor(qmpDirectory(site.folder), guest.uuid);
  if (known === null) throw new Error("the guest is not where it should be");
  return {
    type: "migration.start",
    id: `${run.migrationId}-${randomUUID().slice(0, 8)}`,
    migrationId: run.migrationId,
    hostId: site.hostId,
    issuedAt,
    expiresAt: issuedAt + MINUTE_MS,
    fencingToken: run.fencingToken ?? 1,
    vm: { ...known.vm, state: "running" },
    fromHostId: site.hostId,
    toHostId: otherSite(play.lane, site).hostId,
    mechanism: run.mechanism,
    parameters: run.parameters,
    limits: run.limits,
    destination: { migrationUri: "tcp:127.0.0.1:1", peerUrl: "http://127.0.0.1:1" },
  };
}

/** Hands the agent a command as the edge would, and gives back why it was refused. */
async function post({ webhookUrl }: Site, command: StartCommand, key: KeyObject, body = JSON.stringify(command)) {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = sign(null, Buffer.from(`${command.id}.${timestamp}.${JSON.stringify(command)}`), key);
  const answer = await fetch(webhookUrl, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": command.id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1a,${signature.toString("base64")}`,
    },
    body,
  });
  const { verdict, reason = "" } = (await answer.json()) as { verdict: string; reason?: string };
  return `${verdict} ${reason}`.trim();
}

/** The guest goes on where it is, and nothing of it is anywhere else. */
async function untouched(play: Play, { site, guest }: Forgery): Promise<string> {
  const [from, line] = [guest.line.beats.length, guest.line];
  await line.waitForBeats(from + BEATS_AFTER, BEATS_MS_MAX);
  const elsewhere = readDescriptor(qmpDirectory(otherSite(play.lane, site).folder), guest.uuid) !== null;
  return elsewhere ? "something of the guest is at the other host" : "guest untouched";
}

async function expired(play: Play): Promise<string> {
  const forgery = await earlierRun(play);
  const command = startAgain(play, forgery, Date.now() - 2 * MINUTE_MS);
  const said = await post(forgery.site, command, keyOf(play.edge.signingKey));
  await until(
    play,
    RECORD_MS_MAX,
    () => "the refusal is not on the migration's timeline",
    async () => {
      const events = await play.edge.api.timeline(command.migrationId);
      const isIt = (body: unknown): boolean => (body as { commandId?: string }).commandId === command.id;
      return events.find(({ type, body }) => type === "refused" && isIt(body)) ?? null;
    },
  );
  return `${said}, on record; ${await untouched(play, forgery)}`;
}

async function forged(play: Play): Promise<string> {
  const forgery = await earlierRun(play);
  const strange = startAgain(play, forgery, Date.now());
  const altered = startAgain(play, forgery, Date.now());
  const key = keyOf(play.edge.signingKey);
  const widened = { ...altered, limits: { ...altered.limits, postCopyPermitted: true } };
  const said = [
    await post(forgery.site, strange, generateKeyPairSync("ed25519").privateKey),
    await post(forgery.site, altered, key, JSON.stringify(widened)),
  ];
  await until(
    play,
    RECORD_MS_MAX,
    () => "the refusals are not in the audit log",
    async () => {
      const refused = (await play.edge.api.audit()).filter(({ action }) => action === "command.refused");
      return [strange, altered].every(({ id }) => refused.some(({ subject }) => subject === id)) ? true : null;
    },
  );
  return `${[...new Set(said)].join(", ")} ${said.length} times, on record; ${await untouched(play, forgery)}`;
}

export const commandCases: FaultCase[] = [
  {
    name: "delivered-twice",
    lane: "calm",
    what: "every command comes twice by webhook and once by channel or heartbeat, all at one moment",
    expected: `2 commands by two ways at once, 2 taken, 1 start; ${arrived("pre-copy")}`,
    run: deliveredTwice,
  },
  {
    name: "expired",
    lane: "calm",
    what: "a well signed command whose time is over",
    expected: "refuse expired, on record; guest untouched",
    run: expired,
  },
  {
    name: "forged",
    lane: "calm",
    what: "a command signed with another key, and one that was altered afterwards",
    expected: "refuse bad-signature 2 times, on record; guest untouched",
    run: forged,
  },
];
