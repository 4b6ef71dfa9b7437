import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCsv } from "../../worker/adapters/csv.ts";
import { parseRecords } from "../../worker/adapters/migration-records.ts";

const cellsOf = (text: string) => readCsv(text).records.map(({ line, record }) => [line, ...Object.values(record)]);

describe("a CSV table (RFC 4180)", () => {
  test.each<[string, string, (string | number)[][]]>([
    [
      "plain",
      "a,b\n1,2\n3,4\n",
      [
        [2, "1", "2"],
        [3, "3", "4"],
      ],
    ],
    ["no end of line at the end", "a,b\n1,2", [[2, "1", "2"]]],
    ["CRLF", "a,b\r\n1,2\r\n", [[2, "1", "2"]]],
    [
      "empty lines are skipped and counted",
      "\na,b\n\n1,2\n  \n3,4\n\n",
      [
        [4, "1", "2"],
        [6, "3", "4"],
      ],
    ],
    [
      "empty cells are kept",
      "a,b,c\n,,\n1,,\n",
      [
        [2, "", "", ""],
        [3, "1", "", ""],
      ],
    ],
    ["a quoted comma", 'a,b\n"1,5",2\n', [[2, "1,5", "2"]]],
    ["a doubled quote", 'a,b\n"say ""on""",""\n', [[2, 'say "on"', ""]]],
    [
      "a quoted end of line counts",
      'a,b\n"x\r\ny",2\n3,4\n',
      [
        [2, "x\r\ny", "2"],
        [4, "3", "4"],
      ],
    ],
    ["a lone carriage return is text", "a,b\n1\r2,3\n", [[2, "1\r2", "3"]]],
    ["a byte order mark", "\uFEFFa,b\n1,2\n", [[2, "1", "2"]]],
    ["a header alone", "a,b\n", []],
    ["nothing", "", []],
  ])("%s", (_, text, rows) => {
    expect(readCsv(text).rejected).toEqual([]);
    expect(cellsOf(text)).toEqual(rows);
  });

  test("names in the header lose their padding, cells do not", () => {
    expect(readCsv('scenario , run,  "status"\nx , 1,ok\n'.replace('  "status"', "  status")).records).toEqual([
      { line: 2, record: { scenario: "x ", run: " 1", status: "ok" } },
    ]);
  });

  test("a name that means something to objects is a name like any other", () => {
    const record = readCsv("__proto__,toString\n1,2\n").records[0]?.record ?? {};
    expect(Object.entries(record)).toEqual([
      ["__proto__", "1"],
      ["toString", "2"],
    ]);
  });

  test.each<[string, string, { line: number; reason: string }[], (string | number)[][]]>([
    [
      "a quote within an unquoted cell",
      'a,b\n1,2"3\n4,5\n',
      [{ line: 2, reason: "a quote within a cell that is not quoted" }],
      [[3, "4", "5"]],
    ],
    [
      "text after a closing quote",
      'a,b\n1,2\n"3"x,4\n5,6\n',
      [{ line: 3, reason: "text after a closing quote" }],
      [
        [2, "1", "2"],
        [4, "5", "6"],
      ],
    ],
    [
      "a quote never closed takes nothing along",
      'a,b\n1,"2\n3,4\n',
      [{ line: 2, reason: "a quote that is never closed" }],
      [[3, "3", "4"]],
    ],
    [
      "too few and too many cells",
      "a,b\n1\n1,2,3\n4,5\n",
      [
        { line: 2, reason: "has 1 cells, the header 2" },
        { line: 3, reason: "has 3 cells, the header 2" },
      ],
      [[4, "4", "5"]],
    ],
    ["a header that names a column twice", "a,a\n1,2\n", [{ line: 1, reason: "the header names `a` twice" }], []],
    ["a broken header", 'a,"b\n1,2\n', [{ line: 1, reason: "a quote that is never closed" }], []],
  ])("rejected with its line: %s", (_, text, rejected, rows) => {
    expect(readCsv(text).rejected).toEqual(rejected);
    expect(cellsOf(text)).toEqual(rows);
  });

  test("law: what is written by the RFC is read back", () => {
    const cell = fc.string({ unit: fc.constantFrom("a", "1", " ", ",", '"', "\n", "\r\n", "é") });
    const row = fc.tuple(cell, cell, cell);
    const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.array(row), fc.constantFrom("\n", "\r\n"), (rows, end) => {
        const text = [["x", "y", "z"], ...rows].map((cells) => cells.map(quote).join(",") + end).join("");
        const { records, rejected } = readCsv(text);
        expect(rejected).toEqual([]);
        expect(records.map(({ record }) => Object.values(record))).toEqual(rows);
      }),
      { seed: 1 },
    );
  });

  test("law: no text makes it throw, and lines rise", () => {
    const text = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", "\r\n") });
    fc.assert(
      fc.property(text, (source) => {
        const { records, rejected } = readCsv(`a,b\n${source}`);
        for (const list of [records, rejected]) {
          const lines = list.map(({ line }) => line);
          expect(lines).toEqual(lines.toSorted((a, b) => a - b));
        }
      }),
      { seed: 2 },
    );
  });
});

describe("records of past migrations", () => {
  test("CSV rows are records of text", () => {
    expect(parseRecords("mechanism,totalMs\npre-copy,12\n", "csv")).toEqual({
      records: [{ line: 2, record: { mechanism: "pre-copy", totalMs: "12" } }],
      rejected: [],
    });
  });

  test("JSON lines: one object a line, whatever else is rejected by line", () => {
    const text = '\uFEFF{"a":1}\r\n\n[1]\n{"b":{"c":null}}\n{"a":\nnull\n7';
    expect(parseRecords(text, "jsonl")).toEqual({
      records: [
        { line: 1, record: { a: 1 } },
        { line: 4, record: { b: { c: null } } },
      ],
      rejected: [
        { line: 3, reason: "is not a JSON object" },
        { line: 5, reason: "is not JSON" },
        { line: 6, reason: "is not a JSON object" },
        { line: 7, reason: "is not a JSON object" },
      ],
    });
  });
});
