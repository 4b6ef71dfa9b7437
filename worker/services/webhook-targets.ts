// Whether a webhook's URL may be sent to, as it is now: asked when it is made and again before every attempt.
import type { Deps } from "../env.ts";
import { isNamed, judgeAddress, judgeUrl } from "../model/webhooks/address.ts";

/** `unknown`: it cannot be told now. */
export type TargetVerdict = { ok: true } | { refused: string } | { unknown: string };

export async function judgeTarget({ outgoing }: Pick<Deps, "outgoing">, url: string): Promise<TargetVerdict> {
  const { allowed, resolve } = outgoing;
  const verdict = judgeUrl(url, allowed);
  if ("refused" in verdict) return verdict;
  if (verdict.ok === "address" || isNamed(verdict.host, allowed)) return { ok: true };
  const resolved = await resolve(verdict.host);
  if ("missing" in resolved) return { refused: resolved.missing };
  if ("unknown" in resolved) return resolved;
  // One bad address among good ones is enough: which of them is taken is not known.
  for (const address of resolved.addresses) {
    const why = judgeAddress(address, allowed);
    if (why !== null) return { refused: `${verdict.host} leads to ${why}` };
  }
  return { ok: true };
}
