// One request to the app, in a process whose heap is limited from outside: it answers, or V8 ends it.
import { readFileSync, writeFileSync } from "node:fs";
import { createApp } from "../../../worker/app.ts";
import { type Bindings, makeDeps } from "../../../worker/env.ts";

const TOKEN = `drv_${"0".repeat(40)}`;

/** A what-if reads nothing that is stored: statements are prepared, and none is run. */
const noStore = (): never => {
  throw new Error("a what-if does not read the store");
};
const bindings = {
  ADMIN_TOKEN: TOKEN,
  DB: { prepare: () => ({ bind: noStore }), batch: noStore },
} as unknown as Bindings;

const [bodyFile = "", answerFile = ""] = process.argv.slice(2);
const response = await createApp(makeDeps).fetch(
  new Request("https://drover.test/v1/plans", {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: readFileSync(bodyFile),
  }),
  bindings,
);
writeFileSync(answerFile, `${response.status}\n${await response.text()}`);
