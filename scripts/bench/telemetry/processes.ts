// How the workload's values move: what a guest and its hypervisor do from one scrape to the next. Random numbers are drawn
// in a fixed order, also where they do not matter, so that a seed always gives the same fleet.

type Random = () => number;

/** Bytes over the network, bytes of disks, operations of disks. */
type Traffic = { received: number; sent: number; read: number; written: number; reads: number; writes: number };

/** What a host's VMs did together in one step. */
export type Hypervisor = Traffic & { cpu: number; memory: number };

export const nothingDone = (): Hypervisor => ({
  received: 0,
  sent: 0,
  read: 0,
  written: 0,
  reads: 0,
  writes: 0,
  cpu: 0,
  memory: 0,
});

function add(to: Traffic, more: Traffic): void {
  to.received += more.received;
  to.sent += more.sent;
  to.read += more.read;
  to.written += more.written;
  to.reads += more.reads;
  to.writes += more.writes;
}

const GIB = 2 ** 30;
const PAGE = 4096;
const SECTOR = 512;
const STEP_SECONDS = 15;
const HOST_MEMORY = 768 * GIB;

const clamp = (value: number, min: number, max: number): number => (value < min ? min : value > max ? max : value);
const rounded = (value: number, decimals: number): number => Math.round(value * 10 ** decimals) / 10 ** decimals;
const pages = (bytes: number): number => Math.floor(bytes / PAGE) * PAGE;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const exponential = (random: Random): number => -Math.log(1 - random());
/** Six uniform numbers added: close to normal, cut at about four deviations. */
function normal(random: Random): number {
  let sum = 0;
  for (let turn = 0; turn < 6; turn++) sum += random();
  return (sum - 3) * 1.414;
}

type Guest = {
  share: number;
  cpu: (random: Random) => number;
  cpuNoise: number;
  burstChance: number;
  memoryChance: number;
  memoryNoise: number;
  dirtyPages: (random: Random, relativeCpu: number) => number;
  /** Bytes over the network are a multiple of this. */
  traffic: number;
  isTalking: (random: Random) => boolean;
  reads: (random: Random, burst: number) => number;
  writes: (random: Random, burst: number) => number;
};

/** `share`: of the guests up to and with this class. */
const IDLE: Guest = {
  share: 0.35,
  cpu: (random) => 0.3 + random(),
  cpuNoise: 0.08,
  burstChance: 0.005,
  memoryChance: 0.15,
  memoryNoise: 2e5,
  dirtyPages: (random) => (random() < 0.7 ? Math.floor(exponential(random) * 15) : 0),
  traffic: 1,
  isTalking: (random) => random() < 0.5,
  reads: (random) => (random() < 0.08 ? 1 : 0),
  writes: (random) => (random() < 0.6 ? 1 + Math.floor(exponential(random) * 3) : 0),
};
const LIGHT: Guest = {
  share: 0.8,
  cpu: (random) => 3 + 10 * random(),
  cpuNoise: 0.8,
  burstChance: 0.02,
  memoryChance: 0.6,
  memoryNoise: 4e6,
  dirtyPages: (random, relativeCpu) => Math.floor(200 * relativeCpu * (0.5 + exponential(random) * 0.5)),
  traffic: 40,
  isTalking: () => true,
  reads: (random) => (random() < 0.45 ? Math.floor(exponential(random) * 12) : 0),
  writes: (random, burst) => Math.floor(8 + exponential(random) * 20 * burst),
};
const BUSY: Guest = {
  share: 1,
  cpu: (random) => 30 + 50 * random(),
  cpuNoise: 3,
  burstChance: 0.04,
  memoryChance: 0.95,
  memoryNoise: 4e7,
  dirtyPages: (random, relativeCpu) => Math.floor(6000 * relativeCpu * (0.5 + exponential(random) * 0.5)),
  traffic: 2500,
  isTalking: () => true,
  reads: (random, burst) => Math.floor(exponential(random) * 150 * burst),
  writes: (random, burst) => Math.floor(80 + exponential(random) * 300 * burst),
};

function guestOf(random: Random): Guest {
  const place = random();
  return [IDLE, LIGHT].find(({ share }) => place < share) ?? BUSY;
}

function trafficOf(random: Random, guest: Guest, burst: number): Traffic {
  const talking = guest.isTalking(random) ? 1 : 0;
  const received = talking * Math.floor(guest.traffic * burst * (60 + exponential(random) * 300));
  const sent = talking * Math.floor(guest.traffic * burst * (40 + exponential(random) * 250));
  const reads = guest.reads(random, burst);
  const writes = guest.writes(random, burst);
  const read = Math.floor(reads * (1 + random() * 3)) * PAGE;
  const written = Math.floor(writes * (1 + random() * 3)) * PAGE;
  return { received, sent, read, written, reads, writes };
}

function countersAtFirst(random: Random): Traffic {
  const received = below(random, 1e11);
  const sent = below(random, 1e11);
  const read = pages(random() * 1e10);
  const written = pages(random() * 1e11);
  return { received, sent, read, written, reads: Math.floor(read / 16_384), writes: Math.floor(written / 16_384) };
}

/** A guest: each call is one scrape, in the order of VM_METRICS, and adds to what its host does. */
export function vmProcess(random: Random): (host: Hypervisor) => number[] {
  const guest = guestOf(random);
  const vcpus = [1, 2, 2, 4, 4, 8, 16][below(random, 7)] ?? 1;
  const memoryMax = vcpus * ([2, 4, 8][below(random, 3)] ?? 2) * GIB;
  const usual = guest.cpu(random);
  let cpu = usual;
  let memory = memoryMax * (0.2 + 0.6 * random());
  let burstLeft = 0;
  const total = countersAtFirst(random);
  let vcpuSeconds = rounded(random() * 1e6, 2);
  return (host) => {
    if (burstLeft > 0) burstLeft--;
    else if (random() < guest.burstChance) burstLeft = 1 + below(random, 8);
    const pull = cpu + 0.25 * (usual - cpu) + normal(random) * guest.cpuNoise;
    cpu = clamp(pull + (burstLeft > 0 ? usual * 0.4 : 0), 0, 100);
    const steal = guest === BUSY && random() < 0.4 ? rounded(exponential(random) * 0.3, 2) : 0;
    if (random() < guest.memoryChance)
      memory = clamp(memory + normal(random) * guest.memoryNoise, memoryMax * 0.05, memoryMax * 0.98);
    const dirty = guest.dirtyPages(random, cpu / (usual + 1));
    const traffic = trafficOf(random, guest, burstLeft > 0 ? 4 : 1);
    add(total, traffic);
    add(host, traffic);
    host.cpu += cpu * vcpus;
    host.memory += memory;
    vcpuSeconds = rounded(vcpuSeconds + (cpu / 100) * vcpus * STEP_SECONDS, 2);
    const { received, sent, read, written, reads, writes } = total;
    const cpuAndMemory = [rounded(cpu, 2), steal, pages(memory), memoryMax, dirty];
    return [...cpuAndMemory, received, sent, read, written, reads, writes, vcpuSeconds];
  };
}

type Gauges = { user: number; system: number; wait: number; load: number; watts: number; celsius: number };

/** CPU, memory and heat of a host; each call is one scrape. */
function gaugesProcess(random: Random) {
  let load = 1;
  let celsius = 45;
  let cached = 2e10 * (1 + random());
  return {
    cpu: (vms: Hypervisor): Pick<Gauges, "user" | "system" | "wait" | "load"> => {
      const user = clamp(vms.cpu / 96 + normal(random) * 0.3, 0, 95);
      const system = clamp(user * 0.15 + normal(random) * 0.2, 0, 30);
      const wait = clamp(exponential(random) * 0.2, 0, 20);
      load = Math.max(0, load + (0.2 * ((user + system) * 0.96 - load) + normal(random) * 0.15));
      return { user, system, wait, load };
    },
    memory: (vms: Hypervisor): { used: number; cache: number } => {
      cached = clamp(cached + normal(random) * 3e6, 1e9, 1e11);
      return { used: pages(vms.memory * 0.8 + 8e9 + normal(random) * 1e6), cache: pages(cached) };
    },
    heat: (busy: number): Pick<Gauges, "watts" | "celsius"> => {
      const watts = rounded(180 + busy * 4.2 + normal(random) * 1.5, 1);
      celsius += 0.1 * (40 + busy * 0.4 - celsius) + normal(random) * 0.2;
      return { watts, celsius: rounded(Math.round(celsius * 2) / 2, 1) };
    },
  };
}

/** A host: each call is one scrape, in the order of HOST_METRICS. `lateSeconds`: how far off its place the scrape was. */
export function hostProcess(
  random: Random,
  vmsRunning: number,
): (vms: Hypervisor, step: number, lateSeconds: number) => number[] {
  const gauges = gaugesProcess(random);
  let joules = below(random, 1e10);
  let received = below(random, 1e13);
  let sent = below(random, 1e13);
  let packetsIn = Math.floor(received / 800);
  let packetsOut = Math.floor(sent / 800);
  let read = below(random, 1e9) * SECTOR;
  let written = below(random, 1e9) * SECTOR;
  let ioSeconds = rounded(random() * 1e5, 3);
  let switches = below(random, 1e10);
  const upAtFirst = rounded(random() * 1e7, 2);
  return (vms, step, lateSeconds) => {
    const { user, system, wait, load } = gauges.cpu(vms);
    const { used, cache } = gauges.memory(vms);
    const { watts, celsius } = gauges.heat(user + system);
    const operations = vms.reads + vms.writes;
    joules += Math.round(watts * STEP_SECONDS);
    received += vms.received + Math.floor(exponential(random) * 8000);
    sent += vms.sent + Math.floor(exponential(random) * 9000);
    packetsIn += Math.floor(vms.received / (600 + random() * 400)) + 5;
    packetsOut += Math.floor(vms.sent / (600 + random() * 400)) + 5;
    read += vms.read;
    written += vms.written + Math.floor(exponential(random) * 40) * SECTOR;
    ioSeconds = rounded(ioSeconds + operations * 0.0002 * (0.5 + random()), 3);
    const wakeUps = STEP_SECONDS * (3000 + vms.cpu * 20) * (0.9 + 0.2 * random());
    switches += Math.floor(operations * 12 + wakeUps);
    const up = rounded(upAtFirst + step * STEP_SECONDS + lateSeconds, 2);
    const cpu = [user, system, wait, load].map((value) => rounded(value, 2));
    const memory = [used, HOST_MEMORY - used - cache, cache];
    const network = [received, sent, packetsIn, packetsOut];
    return [...cpu, ...memory, watts, joules, celsius, ...network, read, written, ioSeconds, switches, vmsRunning, up];
  };
}
