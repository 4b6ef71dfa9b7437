// A run, its two agents and everything that may happen between them, small enough to look at every state there is: messages
// are lost, doubled and overtake one another, agents fall silent and come back, links break, processes die, people intervene.
import { type RunState, type Signal, isEnded, nextState, signalOf } from "../../worker/model/lifecycle.ts";
import { type RunView, nextStep } from "../../worker/model/next-step.ts";
import type { SideView } from "../../worker/model/truth.ts";
import type { VmState } from "../../worker/model/wire/inventory.ts";
import type { MigrationEvent } from "../../worker/model/wire/event.ts";

/** The source's hypervisor, as its agent drives it (DESIGN section 7). */
type Source =
  | "untold"
  | "refused"
  | "copying"
  | "failed"
  | "cancelled"
  | "stopped"
  | "post-copy"
  | "cut"
  | "given-up"
  | "done";
type Destination = "untold" | "refused" | "incoming" | "running" | "dead";

export type World = {
  edge: RunState;
  /** As the edge knows it. */
  postCopyActive: boolean;
  prepareSent: boolean;
  startSent: boolean;
  source: Source;
  destination: Destination;
  /** Events that were sent, by letter; capital letters were delivered too. */
  sent: string;
  /** What each host has reported of the VM since the edge's last step; null: nothing. */
  seenAtSource: VmState | "absent" | null;
  seenAtDestination: VmState | "absent" | null;
  seenLast: "source" | "destination" | null;
  /** The source continues the VM only where the destination cannot. */
  mode: "pre-copy" | "post-copy";
};

export const START: World = {
  edge: "queued",
  postCopyActive: false,
  prepareSent: false,
  startSent: false,
  source: "untold",
  destination: "untold",
  sent: "",
  seenAtSource: null,
  seenAtDestination: null,
  seenLast: null,
  mode: "pre-copy",
};

const head = { hostId: "hv-1", bootId: "b", sequence: 1, at: 1, fencingToken: 1 };
const why = { reason: "hypervisor", detail: "reset" };
const progress = { iteration: 1, remainingBytes: 5, transferredBytes: 7, elapsedMs: 100 };
type Told = { sender: "source" | "destination"; event: MigrationEvent };
const from = (sender: Told["sender"], event: object): Told => ({
  sender,
  event: { ...head, ...event } as MigrationEvent,
});

/** What may be on its way, by the letter that `sent` has for it. */
const MESSAGES: Record<string, Told> = {
  p: from("destination", { type: "prepared", migrationUri: "tcp:a:1", peerUrl: "http://a" }),
  r: from("destination", { type: "refused", ...why }),
  q: from("destination", { type: "failed", ...why }),
  a: from("source", { type: "accepted" }),
  n: from("source", { type: "refused", ...why }),
  g: from("source", { type: "progress", progress: { ...progress, phase: "pre-copy" } }),
  h: from("source", { type: "progress", progress: { ...progress, phase: "post-copy" } }),
  i: from("source", { type: "progress", paused: true, progress: { ...progress, phase: "post-copy" } }),
  f: from("source", { type: "failed", ...why, vmState: "running" }),
  u: from("source", { type: "failed", ...why }),
  c: from("source", { type: "cancelled", ...why, vmState: "running" }),
  s: from("source", { type: "switched", side: "source", postCopy: false }),
  t: from("source", { type: "switched", side: "source", postCopy: true }),
  d: from("destination", { type: "switched", side: "destination", postCopy: false }),
  e: from("destination", { type: "switched", side: "destination", postCopy: true }),
  k: from("source", { type: "completed", outcome: {} }),
};
/** Progress is no step of the run and is taken as often as it comes; it says all that `paused` and `resumed` say. */
const REPEATED = "ghi";

const send = (world: World, letters: string, change: Partial<World>): World => {
  const known = world.sent.toLowerCase();
  const fresh = [...letters].filter((letter) => !known.includes(letter));
  return { ...world, ...change, sent: [...world.sent, ...fresh].toSorted().join("") };
};

export const runsAtSource = ({ source }: World): boolean =>
  ["untold", "refused", "copying", "failed", "cancelled"].includes(source);
export const runsAtDestination = ({ destination }: World): boolean => destination === "running";
/** Whether this run can still make the VM run at the destination, whatever the edge thinks. */
export const mayStillArrive = ({ source, destination, startSent }: World): boolean =>
  destination === "running" ||
  (destination === "incoming" &&
    (["copying", "stopped", "post-copy", "cut"].includes(source) || (source === "untold" && startSent)));

/** What the agents and their hypervisors may do next. */
function atHosts(world: World): World[] {
  const { source, destination, mode } = world;
  const next: World[] = [];
  if (world.prepareSent && destination === "untold")
    next.push(send(world, "p", { destination: "incoming" }), send(world, "r", { destination: "refused" }));
  if (world.startSent && source === "untold")
    next.push(send(world, "ag", { source: "copying" }), send(world, "n", { source: "refused" }));
  // Its lease has run out, it was killed, or it was cleared.
  if (destination === "incoming" && !["stopped", "post-copy", "cut"].includes(source))
    next.push(send(world, "q", { destination: "dead" }));
  if (source === "copying") {
    next.push(send(world, "f", { source: "failed" }), send(world, "c", { source: "cancelled" }));
    if (destination === "incoming" && mode === "pre-copy") next.push(send(world, "s", { source: "stopped" }));
    if (destination === "incoming" && mode === "post-copy")
      next.push(send(world, "teh", { source: "post-copy", destination: "running" }));
  }
  return [...next, ...pastTheSwitch(world)];
}

function pastTheSwitch(world: World): World[] {
  const { source, destination } = world;
  const next: World[] = [];
  // Stopped for good: it runs on at the destination, or the destination is proven dead.
  if (source === "stopped" && destination === "incoming")
    next.push(
      send(world, "d", { destination: "running" }),
      send(world, "qf", { source: "failed", destination: "dead" }),
    );
  if (source === "stopped" && destination === "running") next.push(send(world, "k", { source: "done" }));
  if (source === "post-copy") next.push(send(world, "i", { source: "cut" }), send(world, "k", { source: "done" }));
  if (source === "cut") next.push(send(world, "h", { source: "post-copy" }));
  // The VM is lost with the destination's process.
  if ((source === "post-copy" || source === "cut") && destination === "running")
    next.push(send(world, "qu", { source: "given-up", destination: "dead" }));
  return next;
}

function stateAtSource(world: World): VmState | "absent" {
  if (runsAtSource(world)) return "running";
  return world.source === "done" || world.source === "given-up" ? "absent" : "postmigrate";
}

function stateAtDestination({ destination }: World): VmState | "absent" {
  if (destination === "running") return "running";
  return destination === "incoming" ? "inmigrate" : "absent";
}

/** Telemetry of either host, at any moment of a state that looks at it. */
const sightings = (world: World): World[] =>
  world.edge === "verifying" || world.edge === "lost"
    ? [
        { ...world, seenAtSource: stateAtSource(world), seenLast: "source" },
        { ...world, seenAtDestination: stateAtDestination(world), seenLast: "destination" },
      ]
    : [];

let rule: typeof nextState = nextState;

function signalled(world: World, signal: Signal, change: Partial<World> = {}): World[] {
  const edge = rule(world.edge, signal, world.postCopyActive);
  if (edge === null) return [];
  // Only what is seen after the step counts.
  const forgotten = edge === world.edge ? {} : { seenAtSource: null, seenAtDestination: null, seenLast: null };
  return [{ ...world, ...change, ...forgotten, edge }];
}

function deliveries(world: World): World[] {
  return [...world.sent].flatMap((letter) => {
    const told = MESSAGES[letter.toLowerCase()];
    if (told === undefined || letter !== letter.toLowerCase()) return [];
    const delivered = REPEATED.includes(letter)
      ? world
      : { ...world, sent: world.sent.replace(letter, letter.toUpperCase()) };
    const { event, sender } = told;
    const signal = signalOf(event, sender);
    // Progress moves only a run that waits for a sign of life.
    const isIdle = event.type === "progress" && world.edge !== "lost" && world.edge !== "prepared";
    if (signal === null || isIdle) return [delivered];
    const isPostCopy = event.type === "switched" && event.postCopy;
    const moved = signalled(delivered, signal, isPostCopy ? { postCopyActive: true } : {});
    return moved.length === 0 ? [delivered] : moved;
  });
}

const LONG_MS = 10_000_000;

/** What the edge does of itself: at once, and after a long silence. */
function steps(world: World): World[] {
  const side = (seen: VmState | "absent" | null, name: World["seenLast"]): SideView => ({
    heardAt: seen === null ? 0 : LONG_MS,
    vmState: seen === "absent" ? null : seen,
    vmStatesAt: seen === null ? null : LONG_MS - (world.seenLast === name ? 0 : 1),
  });
  const view: RunView = {
    state: world.edge,
    mechanism: "hybrid",
    stateAt: 1,
    lastEventAt: null,
    startSent: world.startSent,
    hasOutcome: world.sent.includes("K"),
    source: side(world.seenAtSource, "source"),
    destination: side(world.seenAtDestination, "destination"),
    elsewhere: null,
  };
  return [2, LONG_MS].flatMap((now) => {
    const step = nextStep(view, now);
    switch (step.do) {
      case "claim":
        return signalled(world, "claim");
      case "prepare":
        return signalled(world, "prepare-sent", { prepareSent: true });
      case "start":
        return [{ ...world, startSent: true }];
      case "signal":
        return signalled(world, step.signal);
      default:
        return [];
    }
  });
}

/** What people do: cancel, and say of a lost run where the VM is, which is true. */
function byPeople(world: World): World[] {
  const truth = runsAtDestination(world) ? "destination" : runsAtSource(world) ? "source" : "nowhere";
  // Who resolves has seen to it that nothing of the migration goes on.
  const isStill = truth === "destination" ? world.source === "done" : !mayStillArrive(world);
  return [
    ...signalled(world, "cancel-untouched"),
    ...(world.edge === "queued" || world.edge === "claimed" ? signalled(world, "superseded") : []),
    ...(isStill
      ? signalled(world, `resolved-at-${truth}` as Signal).concat(
          signalled(world, "resolved-nowhere").filter(() => truth === "nowhere"),
        )
      : []),
  ];
}

export type Explored = { worlds: Map<string, World>; next: Map<string, string[]> };

const keyOf = (world: World): string => Object.values(world).join();

/** Every state that can be reached, with the states that can follow it; `table` in place of Drover's own. */
export function explore(mode: World["mode"], table: typeof nextState = nextState): Explored {
  rule = table;
  const first: World = { ...START, mode };
  const worlds = new Map([[keyOf(first), first]]);
  const next = new Map<string, string[]>();
  const waiting = [first];
  for (let world = waiting.pop(); world !== undefined; world = waiting.pop()) {
    const following = [
      ...atHosts(world),
      ...sightings(world),
      ...deliveries(world),
      ...steps(world),
      ...byPeople(world),
    ];
    next.set(keyOf(world), following.map(keyOf));
    for (const each of following) {
      const key = keyOf(each);
      if (worlds.has(key)) continue;
      worlds.set(key, each);
      waiting.push(each);
    }
  }
  return { worlds, next };
}

/** Of the states, those from which no end can be reached. */
export function withoutWayOut({ worlds, next }: Explored): World[] {
  const before = new Map<string, string[]>();
  for (const [key, following] of next)
    for (const each of following) before.set(each, [...(before.get(each) ?? []), key]);
  const reaching = new Set([...worlds].filter(([, { edge }]) => isEnded(edge)).map(([key]) => key));
  const waiting = [...reaching];
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop())
    for (const each of before.get(key) ?? [])
      if (!reaching.has(each)) {
        reaching.add(each);
        waiting.push(each);
      }
  return [...worlds].filter(([key]) => !reaching.has(key)).map(([, world]) => world);
}
