// libvirt's events, by `virsh event --loop`: they tell the moments of stop and resume, and the figures of a finished job. No
// decision rests on them alone: a driver that missed one finds out by asking.
import { spawn, type ChildProcess } from "node:child_process";
import type { LibvirtSettings } from "./config.ts";
import type { Stats } from "./raw.ts";
import { ENGLISH } from "./virsh.ts";

const RESTART_MS = 1000;

/** `detail`: `Suspended Migrated` of a lifecycle event; `stats`: what a finished job counted. */
export type LibvirtEvent = { atMs: number; name: string; domain: string; detail: string; stats: Stats };

const HEAD = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3})\+0000: event '([^']+)' for domain '(.*)':(.*)$/;

/**
 * Reads chunks of `virsh event --all --loop --timestamp`. An event with figures on lines of their own is given again, with all
 * of them so far, whenever more came.
 */
export function createEventParser(onEvent: (event: LibvirtEvent) => void): (chunk: string) => void {
  let rest = "";
  let current: LibvirtEvent | null = null;
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    let fresh = false;
    const flush = (): void => {
      if (fresh && current !== null) onEvent(current);
      fresh = false;
    };
    for (const line of lines) {
      const [, day, time, name, domain, detail] = HEAD.exec(line) ?? [];
      if (name !== undefined && domain !== undefined) {
        flush();
        current = { atMs: Date.parse(`${day}T${time}Z`), name, domain, detail: (detail ?? "").trim(), stats: {} };
        fresh = true;
      } else if (line.startsWith("\t") && current !== null) {
        const at = line.indexOf(":");
        if (at < 0) continue;
        current.stats[line.slice(1, at).trim()] = line.slice(at + 1).trim();
        fresh = true;
      }
    }
    flush();
  };
}

export type Events = {
  /** Begins to listen, unless it does already. */
  open: () => void;
  /** How many events have come so far, and other things that happened. */
  seen: () => number;
  /** Resolves when there were more than that many, or after `timeoutMs`. */
  wait: (seen: number, timeoutMs: number) => Promise<void>;
  /** Wakes whoever waits: something else has happened. */
  wake: () => void;
  close: () => void;
};

function createWaiters(count: () => number): { wake: () => void; wait: Events["wait"] } {
  const wakers = new Set<() => void>();
  return {
    wake: () => {
      for (const each of wakers) each();
    },
    wait: (known, timeoutMs) =>
      new Promise((resolve) => {
        if (count() > known) return resolve();
        const done = (): void => {
          clearTimeout(timer);
          wakers.delete(done);
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        wakers.add(done);
      }),
  };
}

/** Listens for as long as it is open; a virsh that ends, as it does when libvirt is restarted, is followed by another. */
export function createEvents(
  { virsh, uri }: Pick<LibvirtSettings, "virsh" | "uri">,
  onEvent: (event: LibvirtEvent) => void,
): Events {
  let child: ChildProcess | null = null;
  let restart: NodeJS.Timeout | undefined;
  let isOpen = false;
  let count = 0;
  const waiters = createWaiters(() => count);

  const start = (): void => {
    const args = ["-c", uri, "event", "--all", "--loop", "--timestamp"];
    const listener = spawn(virsh, args, { env: ENGLISH, stdio: ["ignore", "pipe", "ignore"] });
    child = listener;
    const feed = createEventParser((event) => {
      count += 1;
      onEvent(event);
      waiters.wake();
    });
    listener.stdout?.setEncoding("utf8").on("data", feed);
    const again = (): void => {
      if (!isOpen || child !== listener) return;
      child = null;
      restart = setTimeout(start, RESTART_MS);
    };
    listener.once("error", again);
    listener.once("exit", again);
  };
  return {
    open: () => {
      if (isOpen) return;
      isOpen = true;
      start();
    },
    seen: () => count,
    wait: waiters.wait,
    wake: () => {
      count += 1;
      waiters.wake();
    },
    close: () => {
      isOpen = false;
      clearTimeout(restart);
      child?.kill();
      child = null;
      waiters.wake();
    },
  };
}
