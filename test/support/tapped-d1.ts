// D1 with a test's hand on the wire: every round trip goes through `tap`, which may count it, fail it or do something before it.

/** `statements`: how many a round trip has. */
export type Tap = <T>(send: () => Promise<T>, statements: number) => Promise<T>;

export function tappedD1(client: D1Database, tap: Tap): D1Database {
  const inner = new WeakMap<D1PreparedStatement, D1PreparedStatement>();
  const wrap = (statement: D1PreparedStatement): D1PreparedStatement => {
    const tapped = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values)),
      run: () => tap(() => statement.run(), 1),
      all: () => tap(() => statement.all(), 1),
      first: (...columns: [string]) => tap(() => statement.first(...columns), 1),
      raw: (...options: [{ columnNames: true }]) => tap(() => statement.raw(...options), 1),
    } as D1PreparedStatement;
    inner.set(tapped, statement);
    return tapped;
  };
  return {
    prepare: (query: string) => wrap(client.prepare(query)),
    batch: (all: D1PreparedStatement[]) =>
      tap(() => client.batch(all.map((statement) => inner.get(statement) ?? statement)), all.length),
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
