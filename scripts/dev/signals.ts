// One way for every script to be told to end.

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Aborts when this process is told to end. Call it before Miniflare is loaded: its own handlers would end the process at
 * once, with agents, guests and folders left behind, and are kept off.
 */
export function stopSignal(): AbortSignal {
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  process.on("newListener", (event: string, listener: (...all: unknown[]) => void) => {
    if (SIGNALS.some((signal) => signal === event) && listener !== stop)
      queueMicrotask(() => process.removeListener(event, listener));
  });
  for (const signal of SIGNALS) process.on(signal, stop);
  return stopped.signal;
}
