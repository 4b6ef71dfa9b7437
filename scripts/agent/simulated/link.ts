// How migrations that run at once share the NICs of their hosts.

export type Flow = { fromHostId: string; toHostId: string; demandBytesPerSecond: number };

type Open = Flow & { index: number; bytesPerSecond: number; nics: string[] };

function users(open: Open[]): Map<string, number> {
  const count = new Map<string, number>();
  for (const { nics } of open) for (const nic of nics) count.set(nic, (count.get(nic) ?? 0) + 1);
  return count;
}

/**
 * Max-min fair rates by progressive filling: all flows grow together until each meets its demand or a NIC on its way is
 * full. `capacity` gives the payload rate of a host's NIC, for sending and for receiving each.
 */
export function fairRates(flows: Flow[], capacity: (hostId: string) => number): number[] {
  const all = flows.map((flow, index): Open => ({
    ...flow,
    index,
    bytesPerSecond: 0,
    nics: [`out ${flow.fromHostId}`, `in ${flow.toHostId}`],
  }));
  const left = new Map<string, number>();
  for (const { fromHostId, toHostId } of flows) {
    left.set(`out ${fromHostId}`, capacity(fromHostId));
    left.set(`in ${toHostId}`, capacity(toHostId));
  }
  let open = all;
  while (open.length > 0) {
    const sharing = users(open);
    const room = [...sharing].map(([nic, count]) => (left.get(nic) ?? 0) / count);
    const wanted = open.map((flow) => flow.demandBytesPerSecond - flow.bytesPerSecond);
    const grow = Math.min(...room, ...wanted);
    for (const flow of open) flow.bytesPerSecond += grow;
    for (const [nic, count] of sharing) left.set(nic, (left.get(nic) ?? 0) - grow * count);
    // A byte per second is nothing: it stands for rounding.
    const isOpen = ({ bytesPerSecond, demandBytesPerSecond, nics }: Open): boolean =>
      demandBytesPerSecond - bytesPerSecond > 1 && nics.every((nic) => (left.get(nic) ?? 0) > 1);
    open = open.filter(isOpen);
  }
  return all.map((flow) => flow.bytesPerSecond);
}
