import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const text = readFileSync("package-lock.json", "utf8");
const lock = JSON.parse(text) as {
  packages: Record<string, { version?: string; optionalDependencies?: Record<string, string> }>;
};

test("the lockfile names no registry", () => {
  expect(text).not.toMatch(/"resolved"/);
  expect(text).not.toMatch(
    /https?:\/\/(?!opencollective|github|www\.|tidelift|paypal|dotenvx|eslint|feross|ko-fi|patreon)[^"]*\.(tgz|npm)/,
  );
});

test("the lockfile has every platform's packages, so that `npm ci` takes it anywhere", () => {
  const missing = Object.values(lock.packages).flatMap((entry) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([, version]) => /^\d/.test(version))
      .filter(([name]) => !Object.keys(lock.packages).some((location) => location.endsWith(`node_modules/${name}`)))
      .map(([name]) => name),
  );
  expect(missing, "run `npm run lock:fix`").toEqual([]);
});
