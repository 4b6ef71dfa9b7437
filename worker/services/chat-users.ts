// Who a chat user is to Drover: linked by a code, to a token of their own or by an administrator.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { ChatUser } from "../model/chat/inbound.ts";
import {
  chatScope,
  CODE_VALID_MS,
  codeOf,
  type LinkedUser,
  type LinkRequest,
  type NewChatUser,
  scopesNow,
} from "../model/chat/user.ts";
import type { Principal } from "../model/principal.ts";

/** Null: Drover does not know the user, or the token that they linked themselves with is revoked or over. */
export async function principalOf(deps: Deps, user: ChatUser): Promise<Principal | null> {
  const linked = await deps.store.chat.user(user);
  if (linked === null) return null;
  const { tokenId, principalId: id, name } = linked;
  const token = tokenId === null ? null : await deps.store.tokens.byId(tokenId, deps.now());
  if (tokenId !== null && token === null) return null;
  return { id, name, scopes: scopesNow(linked.scopes, token?.scopes ?? null), hostId: null, cluster: null };
}

const hashOf = (deps: Deps, code: string): Promise<string> => deps.hash(`chat-code ${code}`);

/** A code for somebody whom Drover does not know yet: only they see it. */
export async function newCode(deps: Deps, user: ChatUser): Promise<{ code: string; expiresAt: number }> {
  const code = codeOf(Uint8Array.fromBase64(deps.newSecret(), { alphabet: "base64url" }));
  const expiresAt = deps.now() + CODE_VALID_MS;
  await deps.store.chat.addCode(user, await hashOf(deps, code), expiresAt);
  return { code, expiresAt };
}

async function userOfCode(deps: Deps, code: string): Promise<ChatUser> {
  const user = await deps.store.chat.byCode(await hashOf(deps, code), deps.now());
  if (user === null) throw new AppError({ code: "not_found", what: "chat-code", id: code });
  return user;
}

async function link(
  deps: Deps,
  principal: Principal,
  user: ChatUser,
  as: Pick<LinkedUser, "principalId" | "scopes" | "tokenId">,
): Promise<LinkedUser> {
  const linked = { id: deps.newId("cus"), ...user, ...as, createdBy: principal.id, createdAt: deps.now() };
  const { id, createdBy: _, createdAt: __, ...detail } = linked;
  await deps.store.chat.link(linked, { actor: principal.id, action: "chat-user.linked", subject: id, detail });
  return linked;
}

/** `POST /v1/chat/links`: who holds the token is who was shown the code. */
export async function linkSelf(deps: Deps, principal: Principal, { code, scopes }: LinkRequest): Promise<LinkedUser> {
  const permitted = chatScope.options.filter((one) => principal.scopes.includes(one));
  const missing = scopes?.find((one) => !permitted.includes(one));
  if (missing !== undefined || permitted.length === 0)
    throw new AppError({ code: "missing_scope", anyOf: missing === undefined ? [...chatScope.options] : [missing] });
  const user = await userOfCode(deps, code);
  // The first token is no row of the database: what is linked with it stays until it is taken away.
  const tokenId = principal.id === "admin" ? null : principal.id;
  return link(deps, principal, user, { principalId: principal.id, scopes: scopes ?? permitted, tokenId });
}

/** `POST /v1/chat/users`. */
export async function linkUser(deps: Deps, principal: Principal, input: NewChatUser): Promise<LinkedUser> {
  const { principalId, scopes } = input;
  const user = "code" in input ? await userOfCode(deps, input.code) : identityOf(input);
  return link(deps, principal, user, { principalId, scopes, tokenId: null });
}

const identityOf = ({ platform, teamId, userId, name }: Exclude<NewChatUser, { code: string }>): ChatUser => ({
  platform,
  teamId,
  userId,
  name,
});

/** `DELETE /v1/chat/users/{id}`. */
export async function unlinkUser(deps: Deps, principal: Principal, id: string): Promise<void> {
  const entry = { actor: principal.id, action: "chat-user.unlinked", subject: id };
  if (!(await deps.store.chat.unlink(id, entry, deps.now())))
    throw new AppError({ code: "not_found", what: "chat-user", id });
}
