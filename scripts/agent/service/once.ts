// `drover-agent once`: one look at this host, sent, and what became of it. For a first try and for finding out what is wrong; it
// takes no commands, and says so to Drover.
import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { hostInventory } from "../../../worker/model/wire/inventory.ts";
import { createApi, type Api } from "../api.ts";
import { buildBatch, countValues } from "../collect.ts";
import { secretsOf, type Settings } from "../config.ts";
import type { Driver } from "../driver.ts";
import { ensureFolder } from "../files.ts";
import { createLife, type Life } from "../life.ts";
import { lockFolder } from "../lock.ts";
import { createLog, messageOf } from "../log.ts";

/** Between the two looks from whose difference rates are taken. */
const BETWEEN_MS = 1000;

type Say = (line: string) => void;

async function tellInventory(settings: Settings, driver: Driver, api: Api, say: Say): Promise<number> {
  const { cluster, url } = settings;
  const content = { ...(await driver.inventory()), cluster, bootId: randomUUID(), sequence: Date.now() };
  // Whoever ends in a moment can neither take nor give a VM.
  const inventory = hostInventory.parse({ ...content, policy: { in: false, out: false } });
  const { commands } = await api.putInventory(inventory);
  const { cpu, memoryBytes, vms } = inventory;
  say(`inventory: ${cpu.cores} cores, ${memoryBytes} bytes of memory, ${vms.length} VMs; taken by ${url}`);
  return commands.length;
}

async function tellTelemetry(settings: Settings, driver: Driver, api: Api, life: Life, say: Say): Promise<number> {
  await driver.sample();
  await life.sleep(BETWEEN_MS);
  const [at, sample, states] = [Date.now(), await driver.sample(), await driver.vmStates()];
  const batch = buildBatch({ host: settings.hostId, batch: randomUUID() }, [{ at, sample }], {}, states);
  const body = gzipSync(JSON.stringify(batch));
  const { refusedCount, refused, commands } = await api.telemetry(body);
  const [host, vms] = [Object.keys(sample.host).length, Object.keys(sample.vms).length];
  say(
    `telemetry: batch ${batch.batch} of ${countValues(sample)} samples, ${host} of the host and the rest of ${vms} VMs, ${body.length} bytes gzipped; taken, ${refusedCount} samples refused`,
  );
  if (refusedCount > 0) say(`refused: ${JSON.stringify(refused)}`);
  return commands.length;
}

/**
 * Returns the exit code: 0 when Drover took inventory and batch. Throws when another agent works on the state folder. The batch
 * is not put into the spool; what waits there stays for `run`.
 */
export async function once(settings: Settings, driver: Driver, say: Say): Promise<number> {
  ensureFolder(settings.stateDir);
  const lock = lockFolder(settings.stateDir);
  const log = createLog((line) => process.stderr.write(`${line}\n`), secretsOf(settings), settings.log);
  const life = createLife(log);
  const api = createApi(settings, life);
  try {
    say(`host: ${settings.hostId} of cluster ${settings.cluster}, driver ${driver.name}`);
    const commands = await tellInventory(settings, driver, api, say);
    const waiting = Math.max(commands, await tellTelemetry(settings, driver, api, life, say));
    if (waiting > 0) say(`commands: ${waiting} wait for this host; run takes them`);
    return 0;
  } catch (error) {
    say(`failed: ${messageOf(error)}; drover-agent check says what to put right`);
    return 1;
  } finally {
    await driver.close();
    lock.release();
  }
}
