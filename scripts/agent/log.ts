// The agent's only way to speak to people: one JSON object a line.
export type Level = "info" | "warn" | "error";
export type Log = (level: Level, msg: string, fields?: Record<string, unknown>) => void;

/** A logger that writes lines without their end. Whatever is in `secrets` never reaches a line, wherever it came from. */
export function createLog(write: (line: string) => void, secrets: readonly string[]): Log {
  return (level, msg, fields = {}) => {
    let line = JSON.stringify({ time: new Date().toISOString(), level, msg, ...fields });
    for (const secret of secrets) line = line.replaceAll(JSON.stringify(secret).slice(1, -1), "[secret]");
    write(line);
  };
}

/** What is worth telling of anything that was thrown; a failed request hides the reason in its cause. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
