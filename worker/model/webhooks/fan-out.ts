// From an event to those who want it, whatever they are: the one place where subscriptions are matched.

/** Kinds of targets that events are delivered to. Each has its store of subscribers and its way to deliver in `services/`. */
export const TARGET_KINDS = ["webhook", "chat", "route"] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

export type Target = { kind: TargetKind; targetId: string };

/** Who wants which events. */
export type Subscriber = Target & {
  /** Types, `migration.*` for all of a group, or `*`. */
  events: readonly string[];
  /** Null: of all clusters. */
  clusters: readonly string[] | null;
  /** Events of one subject come in their order. */
  isOrdered: boolean;
  /** Only events about one of these, or of a plan that is one of them; absent: about anything. */
  about?: ReadonlySet<string>;
};

/** What of an event decides who gets it. */
export type Occurrence = {
  sequence: number;
  type: string;
  cluster: string | null;
  subject: string;
  /** The plan that it is about, or whose migration; absent or null: none. */
  planId?: string | null;
};

/** A delivery to be made. `subject` null: it may overtake others. */
export type NewDelivery = Target & { sequence: number; subject: string | null };

/** Whether a pattern stands for an event type. */
export const matches = (pattern: string, type: string): boolean =>
  pattern === "*" || pattern === type || (pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1)));

/** An event that is of no cluster goes to all who want its type; what is about a target itself does not go to it. */
export const wants = (
  { targetId, events, clusters, about }: Subscriber,
  { type, cluster, subject, planId }: Occurrence,
): boolean =>
  subject !== targetId &&
  (about === undefined || about.has(subject) || about.has(planId ?? "")) &&
  (clusters === null || cluster === null || clusters.includes(cluster)) &&
  events.some((pattern) => matches(pattern, type));

/** One delivery for each event and each subscriber that wants it, in the order of the events. */
export const fanOut = (events: readonly Occurrence[], subscribers: readonly Subscriber[]): NewDelivery[] =>
  events
    .toSorted((a, b) => a.sequence - b.sequence)
    .flatMap((event) =>
      subscribers
        .filter((subscriber) => wants(subscriber, event))
        .map(({ kind, targetId, isOrdered }) => ({
          kind,
          targetId,
          sequence: event.sequence,
          subject: isOrdered ? event.subject : null,
        })),
    );
