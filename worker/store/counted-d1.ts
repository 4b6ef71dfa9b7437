// D1 with its work counted: what it bills is rows read and rows written.

/** Since the isolate began. */
export type D1Counts = { queries: number; rowsRead: number; rowsWritten: number };

/** What drizzle calls `raw` does not say how many rows it has read or written: of that only the query is counted. */
export function countedD1(client: D1Database, counts: D1Counts): D1Database {
  const add = <R extends { meta: D1Meta & Record<string, unknown> }>(result: R): R => {
    counts.rowsRead += result.meta.rows_read;
    counts.rowsWritten += result.meta.rows_written;
    return result;
  };
  const statements = new WeakMap<D1PreparedStatement, D1PreparedStatement>();
  const wrap = (statement: D1PreparedStatement): D1PreparedStatement => {
    const counted = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values)),
      run: async () => {
        counts.queries += 1;
        return add(await statement.run());
      },
      all: async () => {
        counts.queries += 1;
        return add(await statement.all());
      },
      first: (...columns: [string]) => {
        counts.queries += 1;
        return statement.first(...columns);
      },
      raw: (...options: [{ columnNames: true }]) => {
        counts.queries += 1;
        return statement.raw(...options);
      },
    } as D1PreparedStatement;
    statements.set(counted, statement);
    return counted;
  };
  return {
    prepare: (query: string) => wrap(client.prepare(query)),
    batch: async (all: D1PreparedStatement[]) => {
      counts.queries += all.length;
      const results = await client.batch(all.map((statement) => statements.get(statement) ?? statement));
      for (const result of results) add(result);
      return results;
    },
    exec: (query: string) => client.exec(query),
    withSession: (constraint?: string) => client.withSession(constraint),
    dump: () => client.dump(),
  } as D1Database;
}
