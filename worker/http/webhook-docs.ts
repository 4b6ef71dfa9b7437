// Events in the `webhooks` section of the API document: one entry a type, with its schema and an example.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { AppEnv } from "../env.ts";
import { envelopeOf, EVENT_TYPES, EVENTS, type EventType } from "../model/webhooks/events.ts";

type Registry = OpenAPIHono<AppEnv>["openAPIRegistry"];

const headers = z.object({
  "webhook-id": z.string().meta({ description: "The event's id: the same in every attempt and replay" }),
  "webhook-timestamp": z.string().meta({ description: "When it was sent, seconds since 1970" }),
  "webhook-signature": z.string().meta({ description: "`v1,` and base64 of HMAC-SHA256, one for each live secret" }),
});

/** What is posted for an event of this type, filled in. */
export const exampleOf = (type: EventType) => ({
  id: "evt_4f6a0d1c2b3e4f5061728394a5b6c7d8",
  type,
  version: EVENTS[type].version,
  timestamp: "2026-11-23T02:00:00.000Z",
  cluster: "prod",
  subject: "the id of what it is about",
  link: null,
  data: EVENTS[type].example,
});

const dotted = (type: string): string => type.replaceAll(/[.-](.)/g, (_, letter: string) => letter.toUpperCase());
const nameOf = (type: string): string => `Event${dotted(`.${type}`)}`;

export function describeEvents(registry: Registry): void {
  for (const type of EVENT_TYPES) {
    const { summary, data, version } = EVENTS[type];
    registry.registerWebhook({
      method: "post",
      path: type,
      summary: `${summary} (version ${version})`,
      request: {
        headers,
        body: {
          required: true,
          content: {
            "application/json": {
              schema: envelopeOf(type, data as z.ZodType).meta({ id: nameOf(type) }),
              example: exampleOf(type),
            },
          },
        },
      },
      responses: {
        "2XX": { description: "Taken; an answer within the webhook's time limit, its body does not matter" },
        410: { description: "Nothing more is wanted: the webhook is paused" },
        default: { description: "Tried again for a day" },
      },
    });
  }
}
