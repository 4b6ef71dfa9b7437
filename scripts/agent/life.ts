// Everything that outlives a moment (timers, requests, calls of the driver) hangs on one life. `stop` ends it in order;
// `kill` ends it as a crash of the process would: nobody who waits for something ever goes on.
import { messageOf, type Log } from "./log.ts";

export type Life = {
  /** Aborted by `kill` only: requests die with it. */
  readonly signal: AbortSignal;
  isStopping: () => boolean;
  /** Does the work unless killed; its result never arrives once killed. */
  hold: <T>(work: () => Promise<T>) => Promise<T>;
  /** Resolves after that time, or at once when the life is being stopped. */
  sleep: (ms: number) => Promise<void>;
  /** Runs a task in the background until it ends; what it throws is logged. */
  spawn: (name: string, task: () => Promise<void>) => void;
  /** Lets the tasks end; kills what is left of them after `graceMs`. */
  stop: (graceMs: number) => Promise<void>;
  kill: () => void;
};

/** Timers that a stop wakes at once and a kill lets nobody wake from. */
function createSleepers(killed: AbortSignal): { sleep: (ms: number) => Promise<void>; wakeAll: () => void } {
  const wakers = new Set<() => void>();
  let awake = false;
  return {
    sleep: (ms) =>
      new Promise((resolve) => {
        if (killed.aborted) return;
        if (awake) return resolve();
        const wake = () => {
          clearTimeout(timer);
          wakers.delete(wake);
          if (!killed.aborted) resolve();
        };
        const timer = setTimeout(wake, ms);
        wakers.add(wake);
      }),
    wakeAll: () => {
      awake = true;
      for (const wake of wakers) wake();
    },
  };
}

export function createLife(log: Log): Life {
  const killed = new AbortController();
  const { sleep, wakeAll } = createSleepers(killed.signal);
  const tasks = new Set<Promise<void>>();
  let stopping = false;

  const hold = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      if (killed.signal.aborted) return;
      work().then(
        (value) => killed.signal.aborted || resolve(value),
        (error: unknown) => killed.signal.aborted || reject(error),
      );
    });
  const spawn = (name: string, task: () => Promise<void>): void => {
    const running: Promise<void> = hold(task)
      .catch((error: unknown) => log("error", "a task of the agent failed", { task: name, error: messageOf(error) }))
      .finally(() => tasks.delete(running));
    tasks.add(running);
  };
  const kill = (): void => {
    stopping = true;
    killed.abort();
    wakeAll();
  };
  const stop = async (graceMs: number): Promise<void> => {
    stopping = true;
    wakeAll();
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([Promise.all(tasks), grace]);
    clearTimeout(timer);
  };
  const { signal } = killed;
  return { signal, isStopping: () => stopping, hold, sleep, spawn, stop, kill };
}

/** One piece of work at a time, in the order asked for. */
export function createMutex(): <T>(work: () => Promise<T>) => Promise<T> {
  let tail: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = tail.then(work);
    tail = turn.catch(() => undefined);
    return turn;
  };
}
