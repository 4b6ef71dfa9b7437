// Something behind a unix socket that speaks as QEMU does.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";

const GREETING = { QMP: { version: { qemu: { micro: 22, minor: 2, major: 7 }, package: "" }, capabilities: ["oob"] } };

export type Command = {
  execute?: string;
  "exec-oob"?: string;
  arguments: Record<string, unknown>;
  id: number;
};

/** Returns the socket's path; `answer` gives the lines to send back. It ends with the test. */
export async function listen(
  answer: (command: Command, socket: Socket) => unknown[],
  greeting: unknown = GREETING,
): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-qmp-"));
  const file = path.join(folder, "qmp");
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const say = (line: unknown): void => void socket.write(`${JSON.stringify(line)}\r\n`);
    if (greeting !== null) say(greeting);
    let rest = "";
    socket.on("data", (bytes) => {
      const lines = (rest + bytes.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const command: Command = JSON.parse(line);
        if (command.execute === "qmp_capabilities") say({ return: {}, id: command.id });
        else answer(command, socket).forEach(say);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(file, resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return file;
}
