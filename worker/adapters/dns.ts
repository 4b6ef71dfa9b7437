// Names resolved by DNS over HTTPS, in the JSON form that Cloudflare and Google speak.
import { z } from "zod";

const TIMEOUT_MS = 3000;
const TYPES = ["A", "AAAA"] as const;
const ADDRESS_TYPES: readonly number[] = [1, 28];
const NXDOMAIN = 3;

const reply = z.object({
  Status: z.int(),
  Answer: z.array(z.object({ type: z.int(), data: z.string() })).optional(),
});

/** `unknown`: the resolver could not be asked, which says nothing of the name. */
export type Resolved = { addresses: string[] } | { missing: string } | { unknown: string };

/** All addresses of a name, IPv4 and IPv6. */
export const createResolver =
  (dnsUrl: string) =>
  async (name: string): Promise<Resolved> => {
    try {
      const replies = await Promise.all(TYPES.map((type) => ask(dnsUrl, name, type)));
      const addresses = replies.flatMap(({ Answer = [] }) =>
        Answer.flatMap(({ type, data }) => (ADDRESS_TYPES.includes(type) ? [data] : [])),
      );
      if (addresses.length > 0) return { addresses };
      const failed = replies.find(({ Status }) => Status !== 0 && Status !== NXDOMAIN);
      if (failed !== undefined) return { unknown: `the resolver answered code ${failed.Status} for ${name}` };
      return { missing: `${name} has no address` };
    } catch (error) {
      return { unknown: `${name} could not be resolved: ${error instanceof Error ? error.message : String(error)}` };
    }
  };

async function ask(dnsUrl: string, name: string, type: (typeof TYPES)[number]): Promise<z.infer<typeof reply>> {
  const url = new URL(dnsUrl);
  url.searchParams.set("name", name);
  url.searchParams.set("type", type);
  const answer = await fetch(url, {
    headers: { accept: "application/dns-json" },
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`the resolver answered ${answer.status}`);
  return reply.parse(await answer.json());
}
