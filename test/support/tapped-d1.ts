// D1 with a test's hand on the wire: every round trip goes through `tap`, which may count it, fail it or do something before it.

/** `statements`: how many a round trip has; `writes`: whether one of them may change anything. */
export type Tap = <T>(send: () => Promise<T>, statements: number, writes: boolean) => Promise<T>;

export function tappedD1(client: D1Database, tap: Tap): D1Database {
  const inner = new WeakMap<D1PreparedStatement, { statement: D1PreparedStatement; writes: boolean }>();
  const wrap = (statement: D1PreparedStatement, writes: boolean): D1PreparedStatement => {
    const tapped = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values), writes),
      run: () => tap(() => statement.run(), 1, writes),
      all: () => tap(() => statement.all(), 1, writes),
      first: (...columns: [string]) => tap(() => statement.first(...columns), 1, writes),
      raw: (...options: [{ columnNames: true }]) => tap(() => statement.raw(...options), 1, writes),
    } as D1PreparedStatement;
    inner.set(tapped, { statement, writes });
    return tapped;
  };
  return {
    prepare: (query: string) => wrap(client.prepare(query), !/^\s*select\b/i.test(query)),
    batch: (all: D1PreparedStatement[]) => {
      const known = all.map((statement) => inner.get(statement) ?? { statement, writes: true });
      return tap(
        () => client.batch(known.map(({ statement }) => statement)),
        all.length,
        known.some(({ writes }) => writes),
      );
    },
  } as D1Database;
}

/** Fails the round trip of that number (from 0): before it reaches D1, or after D1 has done it and before the answer is heard. */
export function failing(number: number, when: "before" | "after"): { tap: Tap; trips: () => number } {
  let trips = 0;
  return {
    trips: () => trips,
    tap: async (send) => {
      const isIt = trips++ === number;
      if (isIt && when === "before") throw new Error("D1_ERROR: Network connection lost.");
      const answer = await send();
      if (isIt) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    },
  };
}

/** The Worker dies right after D1 has done the write of that number (from 0). What only reads leaves nothing half done. */
export function dyingAfterWrite(number: number): { tap: Tap; writes: () => number } {
  let done = 0;
  return {
    writes: () => done,
    tap: async (send, _, writes) => {
      const answer = await send();
      if (writes && done++ === number) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    },
  };
}
