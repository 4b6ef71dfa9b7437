// The heap of the Worker's isolate, read through workerd's inspector while it works.
import { call, sleep } from "./send.ts";

const SAMPLE_MS = 250;
/** Where garbage is collected first: often enough to look between two answers of the database. */
const COLLECTED_SAMPLE_MS = 20;
const READY_MS_MAX = 10_000;

export type Heap = {
  /** The most that was seen since the last call, bytes: what is in use and, unless it is collected, what was. */
  peak: () => number;
  close: () => void;
};

type Usage = { usedSize: number; backingStorageSize?: number; embedderHeapUsedSize?: number };
type Target = { id: string; title?: string; webSocketDebuggerUrl?: string };

/** JavaScript objects and the memory behind their ArrayBuffers. */
const bytesOf = ({ usedSize, backingStorageSize = 0 }: Usage): number => usedSize + backingStorageSize;

/** The Worker's own isolate, by miniflare's name for it; its helpers are Workers too. */
async function targetUrl(port: number): Promise<string> {
  for (const began = Date.now(); Date.now() - began < READY_MS_MAX; await sleep(100)) {
    const listed = await call(`http://127.0.0.1:${port}/json`).catch(() => null);
    if (listed === null) continue;
    const targets = JSON.parse(listed.toString()) as Target[];
    const found = targets.find(({ id }) => id.startsWith("core:user:"));
    if (found) return found.webSocketDebuggerUrl ?? `ws://127.0.0.1:${port}/${found.id}`;
    throw new Error(`the inspector lists ${targets.map(({ id }) => id).join(", ")}`);
  }
  throw new Error(`no inspector on port ${port}`);
}

type Answer = { id?: number; result?: unknown; error?: { message: string } };

type Inspector = { ask: (method: string) => Promise<unknown>; close: () => void };

async function connect(port: number): Promise<Inspector> {
  const socket = new WebSocket(await targetUrl(port));
  const waiting = new Map<number, { done: (result: unknown) => void; fail: (error: Error) => void }>();
  let calls = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as Answer;
    const asked = id === undefined ? undefined : waiting.get(id);
    if (error) asked?.fail(new Error(`inspector: ${error.message}`));
    else asked?.done(result);
    if (id !== undefined) waiting.delete(id);
  });
  const closed = (): void => waiting.forEach(({ fail }) => fail(new Error("the inspector has closed")));
  socket.addEventListener("close", closed);
  await new Promise((done, fail) => {
    socket.addEventListener("open", done, { once: true });
    socket.addEventListener("error", () => fail(new Error("the inspector refused")), { once: true });
  });
  const ask = (method: string): Promise<unknown> =>
    new Promise((done, fail) => {
      waiting.set(++calls, { done, fail });
      socket.send(JSON.stringify({ id: calls, method }));
    });
  return { ask, close: () => socket.close() };
}

/** `port`: workerd's inspector. `isCollected`: without what is not in use any more, which is collected before each look. */
export async function watchHeap(port: number, isCollected = false): Promise<Heap> {
  const { ask, close } = await connect(port);
  let isCollecting = false;
  const usage = async (): Promise<number> => {
    // Done, and answered, when the isolate has something to do.
    if (isCollected && !isCollecting) {
      isCollecting = true;
      const done = (): boolean => (isCollecting = false);
      ask("HeapProfiler.collectGarbage").then(done, done);
    }
    return bytesOf((await ask("Runtime.getHeapUsage")) as Usage);
  };
  await ask("HeapProfiler.enable");
  await usage();
  let peak = 0;
  const timer = setInterval(
    () => {
      usage().then(
        (bytes) => (peak = Math.max(peak, bytes)),
        () => clearInterval(timer),
      );
    },
    isCollected ? COLLECTED_SAMPLE_MS : SAMPLE_MS,
  );
  return {
    peak: () => {
      const seen = peak;
      peak = 0;
      return seen;
    },
    close: () => {
      clearInterval(timer);
      close();
    },
  };
}
