// Whether this host can listen for a migration, found out by listening for a moment.
import { createServer } from "node:net";
import { messageOf } from "../log.ts";

/** Null: it can; else why not. */
async function whyNotAt(host: string | undefined, port: number): Promise<string | null> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
    });
    return null;
  } catch (error) {
    return messageOf(error);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** The first of these ports that is free at the address (absent: at all of them), or why none is. 0: any port. */
export async function freePortOf(
  address: string | undefined,
  ports: Iterable<number>,
): Promise<{ port: number } | { why: string }> {
  let why = "there is none to try";
  for (const port of ports) {
    const problem = await whyNotAt(address, port);
    if (problem === null) return { port };
    why = problem;
  }
  return { why };
}
