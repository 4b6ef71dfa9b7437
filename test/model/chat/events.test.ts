import { expect, test } from "vitest";
import { eventMessage } from "../../../worker/model/chat/event-lines.ts";
import { EVENT_TYPES, EVENTS } from "../../../worker/model/webhooks/events.ts";

test.each(EVENT_TYPES)("%s is told in one line that says what its example does", (type) => {
  const data = EVENTS[type].example as Record<string, unknown>;
  const { title } = eventMessage({ type, data, subject: "the subject", cluster: "prod" });
  expect(title).toMatch(/^\[prod\] \S.{3,}$/);
  expect(title).not.toMatch(/undefined|null|\[object|: *$/);
});

test("an event of another version is told by its name", () => {
  expect(eventMessage({ type: "moon.full", data: {}, subject: "m1", cluster: null }).title).toBe("moon.full m1");
});
