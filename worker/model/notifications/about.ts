// What an event is about, for routes that ask for labels.

export type About = { hostIds: string[]; uuids: string[] };
export type Labels = Readonly<Record<string, string>>;

const texts = (values: readonly unknown[]): string[] => [
  ...new Set(values.filter((value): value is string => typeof value === "string" && value !== "")),
];

/** The hosts and VMs that the data of an event names, those of a plan's moves among them. */
export function aboutOf(data: Readonly<Record<string, unknown>>): About {
  const { moves } = data;
  const parts = [
    data,
    ...(Array.isArray(moves)
      ? moves.filter((move): move is Record<string, unknown> => typeof move === "object" && move !== null)
      : []),
  ];
  return {
    hostIds: texts(parts.flatMap(({ hostId, fromHostId, toHostId }) => [hostId, fromHostId, toHostId])),
    uuids: texts(parts.map(({ vm }) => vm)),
  };
}

/** One of the things has all that is asked for. */
export const hasLabels = (wanted: Labels, things: readonly Labels[]): boolean =>
  things.some((labels) =>
    Object.entries(wanted).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value),
  );
