// The QEMU Machine Protocol over its unix socket: JSON lines, one client a socket. Knows the protocol and no command.
import { createConnection, type Socket } from "node:net";
import { z } from "zod";

const COMMAND_TIMEOUT_MS = 10_000;
const RETRY_MS = 10;
/** QEMU reads no further than 8 questions that it has not answered, not even to what goes out of band. */
const SILENT_MAX = 3;
/** A line longer than this is not QMP. The largest real answers (query-qmp-schema) stay under 1 MiB. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;

const message = z.looseObject({
  QMP: z.looseObject({ capabilities: z.array(z.string()).optional() }).optional(),
  id: z.int().optional(),
  return: z.unknown().optional(),
  error: z.looseObject({ class: z.string(), desc: z.string() }).optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
  timestamp: z.looseObject({ seconds: z.number(), microseconds: z.number() }).optional(),
});
type Message = z.infer<typeof message>;

/** `atMs` is QEMU's own clock: wall time of its host in ms, with a fraction. */
export type QmpEvent = { name: string; data: Record<string, unknown>; atMs: number };

/**
 * `connect`: no QMP behind the socket, or somebody else holds it. `closed`: the connection ended before the answer, so
 * whether the command was carried out is unknown. `timeout`: the same, after waiting. `refused`: QEMU answered with an
 * error and did nothing. `protocol`: what came is not QMP.
 */
export class QmpError extends Error {
  readonly kind: "connect" | "closed" | "timeout" | "refused" | "protocol";
  constructor(kind: QmpError["kind"], text: string) {
    super(text);
    this.kind = kind;
  }
}

/** `urgent`: out of band, where QEMU can: answered also while QEMU waits for a page of its guest. */
type Way = "in-band" | "urgent";

type Pending = { resolve: (answer: unknown) => void; reject: (error: QmpError) => void; command: string };

/** One negotiated connection. */
class QmpConnection {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #onEvent: (event: QmpEvent) => void;
  readonly #onClose: () => void;
  /** Asked in band, and not answered in time. */
  readonly #silent = new Set<number>();
  #nextId = 1;
  #buffer = "";
  #greeted: (() => void) | null = null;
  #offersUrgent = false;
  closed = false;

  constructor(socket: Socket, onEvent: (event: QmpEvent) => void, onClose: () => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    this.#onClose = onClose;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#read(text));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#ended(new QmpError("closed", "QEMU closed the QMP connection")));
  }

  greeting(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.close();
        reject(new QmpError("connect", `no QMP greeting within ${timeoutMs} ms: another client may hold the socket`));
      }, timeoutMs);
      this.#greeted = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** What has to be done before anything else. */
  async negotiate(timeoutMs: number): Promise<void> {
    await this.execute("qmp_capabilities", this.#offersUrgent ? { enable: ["oob"] } : {}, "in-band", timeoutMs);
  }

  execute(command: string, args: Record<string, unknown>, way: Way, timeoutMs: number): Promise<unknown> {
    const id = this.#nextId++;
    const isUrgent = way === "urgent" && this.#offersUrgent;
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new QmpError("closed", `${command}: the QMP connection is closed`));
      if (!isUrgent && this.#silent.size >= SILENT_MAX)
        return reject(
          new QmpError("timeout", `${command}: QEMU has not answered the last ${SILENT_MAX} questions yet`),
        );
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        if (!isUrgent) this.#silent.add(id);
        reject(new QmpError("timeout", `${command}: no answer from QEMU within ${timeoutMs} ms`));
      }, timeoutMs);
      const settled = { command, resolve, reject };
      this.#pending.set(id, {
        command,
        resolve: (answer) => (clearTimeout(timer), settled.resolve(answer)),
        reject: (error) => (clearTimeout(timer), settled.reject(error)),
      });
      const asked = { [isUrgent ? "exec-oob" : "execute"]: command, arguments: args, id };
      this.#socket.write(`${JSON.stringify(asked)}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
    this.#ended(new QmpError("closed", "the QMP connection was closed"));
  }

  #read(text: string): void {
    this.#buffer += text;
    const lines = this.#buffer.split("\n");
    this.#buffer = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") this.#take(line);
    if (this.#buffer.length > LINE_BYTES_MAX) this.#socket.destroy();
  }

  #take(line: string): void {
    const parsed = parseLine(line);
    if (parsed === null) {
      this.#socket.destroy();
      return this.#ended(new QmpError("protocol", `not a QMP message: ${line.slice(0, 200)}`));
    }
    if (parsed.QMP !== undefined) {
      this.#offersUrgent = parsed.QMP.capabilities?.includes("oob") === true;
      return this.#greeted?.();
    }
    if (parsed.event !== undefined) return this.#onEvent(toEvent(parsed.event, parsed));
    if (parsed.id === undefined) return;
    this.#silent.delete(parsed.id);
    const waiting = this.#pending.get(parsed.id);
    if (waiting === undefined) return;
    this.#pending.delete(parsed.id);
    if (parsed.error === undefined) waiting.resolve(parsed.return);
    else waiting.reject(new QmpError("refused", `${waiting.command}: ${parsed.error.desc}`));
  }

  #ended(error: QmpError): void {
    if (this.closed) return;
    this.closed = true;
    for (const waiting of this.#pending.values()) waiting.reject(error);
    this.#pending.clear();
    this.#onClose();
  }
}

function parseLine(line: string): Message | null {
  try {
    return message.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

function toEvent(name: string, from: Message): QmpEvent {
  const at = from.timestamp;
  // QEMU sends seconds -1 when it could not read its clock.
  const atMs = at === undefined || at.seconds < 0 ? Date.now() : at.seconds * 1000 + at.microseconds / 1000;
  return { name, data: from.data ?? {}, atMs };
}

/**
 * A QMP client that connects when first used and again after a lost connection. A command is never sent twice: when the
 * connection breaks under it, it fails with `closed` and the next one connects anew. Events between two connections are
 * lost, so that whoever waits for one must look at the state as well.
 */
export class QmpClient {
  readonly #path: string;
  readonly #listener: (event: QmpEvent) => void;
  readonly #waiting = new Set<() => void>();
  #connection: Promise<QmpConnection> | null = null;
  /** Rises with every event and every lost connection. */
  eventsSeen = 0;

  constructor(path: string, listener: (event: QmpEvent) => void = () => undefined) {
    this.#path = path;
    this.#listener = listener;
  }

  /** Connects, trying until `timeoutMs` have passed: a QEMU that has just been started has no socket yet. */
  async open(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      try {
        await this.#connected(Math.max(RETRY_MS, deadline - Date.now()));
        return;
      } catch (error) {
        if (Date.now() + RETRY_MS >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async execute(command: string, args: Record<string, unknown> = {}, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    const connection = await this.#connected(timeoutMs);
    return connection.execute(command, args, "in-band", timeoutMs);
  }

  /** The same out of band, of the few commands that QEMU takes so; in band where it takes none. */
  async executeUrgent(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const connection = await this.#connected(COMMAND_TIMEOUT_MS);
    return connection.execute(command, args, "urgent", COMMAND_TIMEOUT_MS);
  }

  /** Resolves at the first event after the `seen`th, when the connection is lost, or after `timeoutMs`. */
  waitForEvent(seen: number, timeoutMs: number): Promise<void> {
    if (this.eventsSeen > seen) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#waiting.add(done);
    });
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) await connection.then((open) => open.close()).catch(() => undefined);
  }

  #connected(timeoutMs: number): Promise<QmpConnection> {
    if (this.#connection === null) {
      const opening: Promise<QmpConnection> = this.#connect(timeoutMs, () => {
        if (this.#connection === opening) this.#connection = null;
        this.#wake();
      });
      this.#connection = opening;
      opening.catch(() => {
        if (this.#connection === opening) this.#connection = null;
      });
    }
    return this.#connection;
  }

  async #connect(timeoutMs: number, onClose: () => void): Promise<QmpConnection> {
    const socket = createConnection(this.#path);
    const connection = new QmpConnection(
      socket,
      (event) => {
        this.#listener(event);
        this.#wake();
      },
      onClose,
    );
    const greeting = connection.greeting(timeoutMs);
    await new Promise<void>((resolve, reject) => {
      greeting.then(resolve, reject);
      socket.once("error", (error) => reject(new QmpError("connect", `no QMP at ${this.#path}: ${error.message}`)));
      socket.once("close", () => reject(new QmpError("connect", `QMP at ${this.#path} closed at once`)));
    });
    await connection.negotiate(timeoutMs);
    return connection;
  }

  #wake(): void {
    this.eventsSeen += 1;
    for (const done of this.#waiting) done();
  }
}
