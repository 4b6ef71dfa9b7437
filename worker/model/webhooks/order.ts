// Which deliveries of one target are tried together.

/** `subject` null: it may overtake others. */
export type Waiting = { deliveryId: string; sequence: number; subject: string | null; nextAttemptAt: number };

/**
 * At most `limit` of the deliveries that wait, those that are due longest first. Of those with a subject only the oldest of
 * each: what comes after it waits until it has been delivered or given up, whenever it would be due itself.
 */
export function nextWave<W extends Waiting>(waiting: readonly W[], limit: number, now: number): W[] {
  const heads = new Map<string, W>();
  for (const one of waiting) {
    if (one.subject === null) continue;
    const head = heads.get(one.subject);
    if (head === undefined || isBefore(one, head)) heads.set(one.subject, one);
  }
  return waiting
    .filter((one) => one.nextAttemptAt <= now && (one.subject === null || heads.get(one.subject) === one))
    .toSorted((a, b) => a.nextAttemptAt - b.nextAttemptAt || (isBefore(a, b) ? -1 : 1))
    .slice(0, limit);
}

/** In the order of the events; a replay of one comes after what is still to be delivered of the same. */
const isBefore = (a: Waiting, b: Waiting): boolean =>
  a.sequence === b.sequence ? a.deliveryId < b.deliveryId : a.sequence < b.sequence;
