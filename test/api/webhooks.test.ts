import { expect, test } from "vitest";
import { call } from "../support/api.ts";

test("made", async () => {
  const made = await call("POST", "/v1/webhooks", { body: { url: "http://127.0.0.1:9/x" } });
  expect(made).toMatchObject({ status: 201, body: { secret: expect.stringMatching(/^whsec_/) } });
  const id = (made.body as any).webhook.webhookId;
  expect(await call("POST", `/v1/webhooks/${id}/test`)).toMatchObject({ status: 200, body: { state: "failed" } });
});
