import type { Deps } from "../env.ts";
import type { Principal, Scope } from "../model/principal.ts";

type NewToken = {
  name: string;
  scopes: Scope[];
  hostId?: string | undefined;
  cluster?: string | undefined;
  expiresAt?: number | undefined;
};

/** Makes a token; only its hash is kept, so that the answer is the one time it can be seen. */
export async function createToken(
  deps: Deps,
  principal: Principal,
  input: NewToken,
): Promise<{ id: string; token: string }> {
  const token = `drv_${deps.newSecret()}`;
  const id = deps.newId("tok");
  const { name, scopes, hostId = null, cluster = null, expiresAt = null } = input;
  await deps.store.tokens.insert(
    { id, name, hash: await deps.hash(token), scopes, hostId, cluster, createdAt: deps.now(), expiresAt },
    { actor: principal.id, action: "token.created", subject: id, detail: { name, scopes, hostId, cluster, expiresAt } },
  );
  return { id, token };
}
