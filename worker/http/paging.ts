// Cursor pagination and the parameters that many routes share.
import { z } from "zod";
import { operatorId } from "../model/wire/common.ts";

export const hostIdParam = z.strictObject({ hostId: operatorId });

/** Query parameters of every list: at most `limit` items after the cursor of the page before. */
export const pageQuery = {
  after: z.string().min(1).max(200).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
};

export const page = <S extends z.ZodType>(item: S) =>
  z.strictObject({ items: z.array(item), next: z.string().nullable() });

/** A page from `limit + 1` items asked for: the surplus one only says that there is more. */
export function cursor<T>(found: T[], limit: number, key: (item: T) => string): { items: T[]; next: string | null } {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? key(last) : null };
}
