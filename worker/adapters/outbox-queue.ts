// The queue that says that there is something to tell. It carries no events: D1 is the truth, and Cron finds what it loses.
import { waitUntil } from "cloudflare:workers";
import type { Target } from "../model/webhooks/fan-out.ts";
import type { OutboxMessage } from "../model/webhooks/messages.ts";

export type OutboxQueue = {
  /** Events were committed. Returns at once. */
  wake: () => void;
  /** Something is due for these targets, in `delayMs`. Never throws. */
  deliver: (targets: readonly Target[], delayMs: number) => Promise<void>;
  /** Goes on after what has begun it was answered. */
  behind: (work: Promise<void>) => void;
};

/** What the platform takes at once. */
const BATCH_MAX = 100;

export function outboxQueue(queue: Queue<OutboxMessage>): OutboxQueue {
  const behind = (work: Promise<unknown>): void => {
    // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
    waitUntil(work.catch((error: unknown) => console.error("outbox:", error)));
  };
  return {
    wake: () => behind(queue.send({ do: "fan-out" })),
    deliver: async (targets, delayMs) => {
      const delaySeconds = Math.ceil(delayMs / 1000);
      for (let start = 0; start < targets.length; start += BATCH_MAX) {
        const messages = targets
          .slice(start, start + BATCH_MAX)
          .map(({ kind, targetId }) => ({ body: { do: "deliver" as const, kind, targetId }, delaySeconds }));
        try {
          await queue.sendBatch(messages);
        } catch (error) {
          // oxlint-disable-next-line no-console
          console.error("outbox: the queue took nothing, Cron will", error);
        }
      }
    },
    behind,
  };
}
