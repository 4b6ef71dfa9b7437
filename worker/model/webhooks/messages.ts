// What the queue carries: never an event itself, only that there is work in D1. Losing one costs a minute, a double one nothing.
import { z } from "zod";
import { TARGET_KINDS } from "./fan-out.ts";

export const outboxMessage = z.discriminatedUnion("do", [
  /** There are events whose deliveries are still to be made. */
  z.strictObject({ do: z.literal("fan-out") }),
  /** Something is due for this target. */
  z.strictObject({ do: z.literal("deliver"), kind: z.enum(TARGET_KINDS), targetId: z.string() }),
]);
export type OutboxMessage = z.infer<typeof outboxMessage>;
