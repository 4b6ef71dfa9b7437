// The agent of one host: wires its parts and gives them one life.
import { randomUUID } from "node:crypto";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { z } from "zod";
import { createApi } from "./api.ts";
import { createChannel, type Channel } from "./channel.ts";
import { createCollector, type Collector } from "./collect.ts";
import { createCommands, type Handled } from "./commands.ts";
import { parseConfig, secretsOf, type AgentConfig, type Settings } from "./config.ts";
import { createDestination, type Destination } from "./destination.ts";
import type { Driver } from "./driver.ts";
import { publicKeyOf } from "./envelope.ts";
import { ensureFolder, readJson, writeFileAtomically } from "./files.ts";
import { openLedger, type Ledger } from "./ledger.ts";
import { createLife, type Life } from "./life.ts";
import { lockFolder } from "./lock.ts";
import { createLog, messageOf, type Log } from "./log.ts";
import { openOutbox } from "./outbox.ts";
import type { Parts } from "./parts.ts";
import { listenForPeers, type PeerHandlers } from "./peer.ts";
import { isStopped, policyWarning, readPolicy } from "./policy.ts";
import { createProbeTarget } from "./probe-target.ts";
import { createPresence, type Presence } from "./presence.ts";
import { createQuestions } from "./questions.ts";
import { openRuns } from "./runs.ts";
import { shut } from "./serve.ts";
import { processStatus, serveStatus, type AgentStatus } from "./service/status.ts";
import { VERSION } from "./service/version.ts";
import { createSource, type Source } from "./source.ts";
import { openSpool, SPOOL_BYTES_MAX, type Spool } from "./spool.ts";
import { listenForCommands } from "./webhook.ts";

const STOP_MS_MAX = 5000;
const LAST_WORDS_MS_MAX = 1000;

export type { AgentConfig } from "./config.ts";

export type Agent = {
  /** Where other agents, and a source's proof, reach this one. */
  peerUrl: string;
  /** Where `POST /commands` goes; null: no webhook is configured. */
  webhookUrl: string | null;
  /** Graceful: a blackout under way is ended first, samples go to the disk. The driver is the caller's to close. */
  stop: () => Promise<void>;
  /** As a crash of the process: timers, requests and connections die, nothing is written any more. */
  kill: () => void;
};

export type AgentHooks = {
  /** Takes the log's lines instead of stderr. */
  log?: (line: string) => void;
};

/** After a kill no call reaches the driver, and no answer of it the agent. */
function boundTo(life: Life, driver: Driver): Driver {
  return new Proxy(driver, {
    get: (target, key) => {
      const member: unknown = Reflect.get(target, key);
      if (typeof member !== "function" || key === "now") return member;
      return (...args: unknown[]) => life.hold(async () => Reflect.apply(member, target, args) as unknown);
    },
  });
}

type Core = {
  parts: Parts;
  ledger: Ledger;
  spool: Spool;
  channel: Channel;
  source: Source;
  destination: Destination;
  collector: Collector;
  presence: Presence;
  handle: (envelope: unknown) => Promise<Handled>;
};

function assemble(settings: Settings, driver: Driver, life: Life, log: Log, peerUrl: () => string): Core {
  const { stateDir, hostId } = settings;
  const now = () => Date.now();
  const bootId = randomUUID();
  const api = createApi(settings, life);
  const ledger = openLedger(stateDir);
  const runs = openRuns(stateDir, log, now());
  const onCommands = (commands: readonly unknown[]) => {
    for (const envelope of commands) life.spawn("command", async () => void (await handle(envelope)));
  };
  const outbox = openOutbox({ stateDir, hostId, bootId, api, life, log, now, onCommands });
  const policy = () => readPolicy(settings.policyFile);
  const { random } = Math;
  const spool = openSpool({ stateDir, bytesMax: SPOOL_BYTES_MAX, api, life, log, now, random, onCommands });
  const { isMigrating } = runs;
  const recentStates = () => presence.recentStates();
  const collector = createCollector({ settings, driver, spool, life, log, now, isMigrating, recentStates });
  const onOpen = () => presence.refresh();
  const channel = createChannel({ settings, life, log, random, onCommands, onOpen });
  const presence = createPresence({ settings, driver, api, channel, life, log, now, bootId, policy, onCommands });
  const { settle } = collector;
  const { refresh } = presence;
  const parts: Parts = { settings, driver, runs, outbox, life, log, now, policy, settle, refresh, peerUrl };
  const source = createSource(parts);
  const destination = createDestination(parts);
  const keys = settings.commandPublicKeys.map(publicKeyOf);
  const questions = createQuestions({ ...parts, api });
  const handle = createCommands({ ...parts, api, ledger, keys, source, destination, questions });
  return { parts, ledger, spool, channel, source, destination, collector, presence, handle };
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

/** Listens for peers where it did before, so that a source which waits finds a restarted destination again. */
async function listenAgain({ stateDir, peer, peerSecret }: Settings, handlers: PeerHandlers, log: Log) {
  const file = path.join(stateDir, "peer-port.json");
  const portBefore = peer.port === 0 ? (readJson(file, z.int().min(0).max(65_535)) ?? 0) : peer.port;
  const on = (port: number) => listenForPeers({ listenHost: peer.listenHost, port, secret: peerSecret }, handlers, log);
  const listening = await on(portBefore).catch((error: unknown) => {
    if (peer.port !== 0 || portBefore === 0) throw error;
    return on(0);
  });
  if (listening.port !== portBefore) writeFileAtomically(file, JSON.stringify(listening.port), false);
  return listening;
}

/** Goes on with what an earlier life began. A run that no ledger knows never began: the crash came in between. */
function takeUpRuns({ parts, ledger, source, destination }: Core): void {
  for (const run of parts.runs.owing(parts.now()))
    if (run.side === "source") source.settle(run);
    else destination.settle(run);
  for (const run of parts.runs.open()) {
    const { migrationId, id } = run.command;
    const hasBegun = run.side === "source" ? run.startedAtMs !== undefined : run.migrationUri !== undefined;
    if (!hasBegun && ledger.state().commands[id] === undefined) {
      parts.runs.discard(run);
      continue;
    }
    parts.log("info", "a migration is taken up again", { migrationId, side: run.side });
    if (run.side === "source") source.resume(run);
    else destination.resume(run);
  }
}

/** What was sampled and not sent goes to the disk, if the driver lets it in time. */
async function lastWords({ collector, parts }: Core): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, LAST_WORDS_MS_MAX)));
  const flushed = collector.flush().catch((error: unknown) => {
    parts.log("error", "the last samples are lost", { error: messageOf(error) });
  });
  await Promise.race([flushed, limit]);
  clearTimeout(timer);
}

async function listenForWebhook({ webhook }: Settings, core: Core): Promise<{ server: Server; url: string } | null> {
  if (webhook === undefined) return null;
  const server = await listenForCommands(webhook, core.handle);
  return { server, url: urlOf(webhook.listenHost, (server.address() as AddressInfo).port) };
}

function statusOf({ parts, spool, channel, presence }: Core): AgentStatus {
  const { settings, driver, policy, runs } = parts;
  const local = policy();
  const { hostId, cluster, url } = settings;
  return {
    ...processStatus(),
    version: VERSION,
    hostId,
    cluster,
    url,
    driver: driver.name,
    peerUrl: parts.peerUrl(),
    policy: local.kind === "policy" ? local.policy.mode : local.kind,
    stopped: isStopped(settings.stopFile),
    channel: settings.channel === "off" ? "off" : channel.isOpen() ? "open" : "closed",
    heartbeat: { ...presence.last(), everyMs: settings.heartbeatMs },
    spool: { waitingBatches: spool.waiting(), ...spool.losses() },
    migrations: runs.open().map(({ side, command: { migrationId, vm } }) => ({ migrationId, side, vm: vm.name })),
  };
}

function begin(core: Core, settings: Settings, peerUrl: string): void {
  const { parts, presence, collector } = core;
  takeUpRuns(core);
  const warning = policyWarning(settings.policyFile);
  if (warning !== null) parts.log("warn", warning);
  presence.run();
  collector.run();
  const { hostId, url } = settings;
  parts.log("info", "the agent runs", { hostId, driver: parts.driver.name, peerUrl, url });
}

/** Starts the agent; resolves once other agents can reach it and what it had begun before is taken up again. */
export async function startAgent(config: AgentConfig, driver: Driver, hooks: AgentHooks = {}): Promise<Agent> {
  const settings = parseConfig(config);
  const write = hooks.log ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const log = createLog(write, secretsOf(settings), settings.log);
  ensureFolder(settings.stateDir);
  const lock = lockFolder(settings.stateDir);
  const life = createLife(log);
  const servers: Server[] = [];
  const die = (): void => {
    life.kill();
    servers.forEach(shut);
  };
  try {
    let peerUrl = "";
    const core = assemble(settings, boundTo(life, driver), life, log, () => peerUrl);
    const peers = await listenAgain(settings, { ...core.destination, ...createProbeTarget(core.parts) }, log);
    servers.push(peers.server);
    peerUrl = settings.peer.advertiseUrl ?? urlOf(settings.peer.listenHost, peers.port);
    const webhook = await listenForWebhook(settings, core);
    if (webhook !== null) servers.push(webhook.server);
    const status = await serveStatus(settings.stateDir, () => statusOf(core), log);
    if (status !== null) servers.push(status);
    begin(core, settings, peerUrl);
    return {
      peerUrl,
      webhookUrl: webhook?.url ?? null,
      stop: async () => {
        log("info", "the agent stops");
        await life.stop(STOP_MS_MAX);
        await lastWords(core);
        die();
        lock.release();
      },
      kill: () => {
        die();
        lock.abandon();
      },
    };
  } catch (error) {
    die();
    lock.release();
    throw error;
  }
}
