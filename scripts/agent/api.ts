// Drover's API as the agent uses it. Every request has an end; what went wrong is told as Drover told it.
import { z } from "zod";
import type { MigrationEvent, Refusal } from "../../worker/model/wire/event.ts";
import type { Heartbeat, HostInventory } from "../../worker/model/wire/inventory.ts";
import type { CheckAnswer } from "../../worker/model/wire/question.ts";
import type { Settings } from "./config.ts";
import type { Life } from "./life.ts";
import { messageOf } from "./log.ts";
import { request, type Answer } from "./request.ts";
import { parseRetryAfter } from "./retry.ts";

const REQUEST_MS_MAX = 10_000;

const withCommands = z.object({ now: z.number().optional(), commands: z.array(z.unknown()).default([]) });
const telemetryAnswer = withCommands.extend({ refusedCount: z.number().default(0), refused: z.unknown().optional() });
export type CommandsAnswer = z.output<typeof withCommands>;
export type TelemetryAnswer = z.output<typeof telemetryAnswer>;

/** A request that was not answered (`status` null) or refused. */
export class ApiError extends Error {
  readonly status: number | null;
  /** The type of the problem, as the last part of its URI: `older-sequence`. */
  readonly type: string;
  /** How long Drover asks to be left alone; null: it does not ask. */
  readonly retryAfterMs: number | null;
  constructor(
    status: number | null,
    type: string,
    detail: string,
    { cause, retryAfterMs = null }: { cause?: unknown; retryAfterMs?: number | null } = {},
  ) {
    super(detail, { cause });
    this.status = status;
    this.type = type;
    this.retryAfterMs = retryAfterMs;
  }

  /** Sending the same again could never help. A wrong token (401, 403) can be put right by a person. */
  get isFinal(): boolean {
    const { status } = this;
    return status !== null && status >= 400 && status < 500 && ![401, 403, 408, 425, 429].includes(status);
  }
}

/** Whether what was thrown is a refusal that repeating cannot change. */
export function isFinal(error: unknown): boolean {
  return error instanceof ApiError && error.isFinal;
}

export type Api = {
  putInventory: (inventory: HostInventory) => Promise<CommandsAnswer>;
  heartbeat: (body: Heartbeat) => Promise<CommandsAnswer>;
  /** The body gzipped already. */
  telemetry: (body: Uint8Array) => Promise<TelemetryAnswer>;
  event: (migrationId: string, event: MigrationEvent) => Promise<CommandsAnswer>;
  refusal: (body: Refusal) => Promise<void>;
  /** The answer to a question that moves nothing. */
  answer: (checkId: string, body: CheckAnswer) => Promise<void>;
};

const problem = z.object({ type: z.string().optional(), title: z.string().optional(), detail: z.string().optional() });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function failureOf(answer: Answer, what: string): ApiError {
  const parsed = problem.safeParse(parseJson(answer.text));
  const { type = "", title = "", detail = "" } = parsed.success ? parsed.data : {};
  const told = [title, detail].filter((part) => part !== "").join(": ");
  return new ApiError(
    answer.status,
    type.split("/").at(-1) ?? "",
    `${what} was answered ${answer.status} ${told}`.trim(),
    { retryAfterMs: parseRetryAfter(answer.headers["retry-after"] ?? null, Date.now()) },
  );
}

export function createApi(settings: Settings, life: Life): Api {
  const base = settings.url.replace(/\/+$/, "");
  const host = `/v1/hosts/${encodeURIComponent(settings.hostId)}`;

  const send = async (method: string, path: string, body: string | Uint8Array): Promise<unknown> => {
    const headers: Record<string, string> = {
      authorization: `Bearer ${settings.token}`,
      "content-type": "application/json",
      ...(typeof body === "string" ? {} : { "content-encoding": "gzip" }),
    };
    const what = `${method} ${path}`;
    try {
      const { signal } = life;
      const answer = await request(`${base}${path}`, { method, headers, body, signal, timeoutMs: REQUEST_MS_MAX });
      if (answer.status < 200 || answer.status >= 300) throw failureOf(answer, what);
      return answer.text === "" ? {} : (JSON.parse(answer.text) as unknown);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new ApiError(null, "", `${what} was not answered: ${messageOf(error)}`, { cause: error });
    }
  };
  const sendJson = (method: string, path: string, body: unknown) =>
    life.hold(() => send(method, path, JSON.stringify(body)));

  return {
    putInventory: async (inventory) => withCommands.parse(await sendJson("PUT", host, inventory)),
    heartbeat: async (body) => withCommands.parse(await sendJson("POST", `${host}/heartbeat`, body)),
    telemetry: async (body) => telemetryAnswer.parse(await life.hold(() => send("POST", "/v1/telemetry", body))),
    event: async (migrationId, event) =>
      withCommands.parse(await sendJson("POST", `/v1/migrations/${encodeURIComponent(migrationId)}/events`, event)),
    answer: async (checkId, body) =>
      void (await sendJson("POST", `${host}/checks/${encodeURIComponent(checkId)}`, body)),
    refusal: async (body) => void (await sendJson("POST", `${host}/refusals`, body)),
  };
}
