// docs/lifecycle.md says what the table says. UPDATE_GOLDEN=1 writes it anew; `npx oxfmt docs` then sets its columns.
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EFFECTS, RUN_STATES, nextState } from "../../worker/model/lifecycle.ts";
import { SIGNALS } from "../support/signals.ts";

const PAGE = "docs/lifecycle.md";

const code = (words: readonly string[]): string => words.map((word) => `\`${word}\``).join(", ");
const tableOf = (head: string[], rows: string[][]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const effects = tableOf(
  ["end", "effects"],
  RUN_STATES.filter((state) => EFFECTS[state].length > 0).map((state) => [code([state]), code(EFFECTS[state])]),
);

const moves = tableOf(
  ["state", "signal", "next"],
  RUN_STATES.flatMap((state) => {
    const byNext = Map.groupBy(
      SIGNALS.filter((signal) => nextState(state, signal, false) !== null),
      (signal) => nextState(state, signal, false),
    );
    return [...byNext].map(([next, signals]) => [code([state]), code(signals), code([next ?? ""])]);
  }),
);

const replaced = (page: string, name: string, text: string): string =>
  page.replace(new RegExp(`<!-- ${name} -->[^]*<!-- /${name} -->`), `<!-- ${name} -->\n\n${text}\n\n<!-- /${name} -->`);
/** Formatting pads the cells. */
const plain = (page: string): string => page.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---");

test("the page has the table and the effects", () => {
  const page = readFileSync(PAGE, "utf8");
  const wanted = replaced(replaced(page, "effects", effects), "table", moves);
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(PAGE, wanted);
  expect(plain(readFileSync(PAGE, "utf8"))).toBe(plain(wanted));
});
