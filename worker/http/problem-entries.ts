// What a fault's entry in the table of problems is, and those entries that are about reaching agents.
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Fault } from "../errors.ts";

export type Entry = {
  title: string;
  status: ContentfulStatusCode;
  /** The last part of `type`; the fault's code with dashes where it is left out. */
  name?: string;
  detail: string;
  advice: string;
  extra?: Record<string, unknown>;
};

/** An entry for each of these faults. */
export type Entries<Codes extends Fault["code"]> = {
  [Code in Codes]: (fault: Extract<Fault, { code: Code }>) => Entry;
};

export const AGENT_PROBLEMS: Entries<"agent_silent" | "agent_refused" | "upgrade_required"> = {
  agent_silent: ({ hostId, preflightId, waitedMs, heardAt }) => ({
    title: "The agent does not answer",
    status: 504,
    detail: `The agent of ${hostId} has not answered in ${waitedMs} ms; it was ${heardAt === null ? "never heard" : `last heard at ${new Date(heardAt).toISOString()}`}.`,
    advice: `Its answer may still come: GET /v1/moves/preflight/${preflightId}. Where it is not heard, look at the agent on ${hostId}; else wait longer (\`waitMs\`), or open its channel.`,
    extra: { hostId, preflightId, heardAt },
  }),
  agent_refused: ({ hostId, reason, detail }) => ({
    title: "The agent did not take the question",
    status: 502,
    detail: `The agent of ${hostId} refused: ${detail}.`,
    advice:
      reason === "unreadable"
        ? "Its version does not know this question: install the agent of this version."
        : "Correct what it says on that host, then ask again.",
    extra: { hostId, reason },
  }),
  upgrade_required: () => ({
    title: "Only as a WebSocket",
    status: 426,
    detail: "The host channel is a WebSocket; the request asks for no upgrade.",
    advice: "Open it with a WebSocket client, or use POST /v1/hosts/{hostId}/heartbeat.",
  }),
};
