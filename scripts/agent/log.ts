// The agent's only way to speak to people: one line a message, as JSON or as text.
export const LOG_LEVELS = ["info", "warn", "error"] as const;
export const LOG_FORMATS = ["json", "text"] as const;
export type Level = (typeof LOG_LEVELS)[number];
export type LogSettings = { level: Level; format: (typeof LOG_FORMATS)[number] };
export type Log = (level: Level, msg: string, fields?: Record<string, unknown>) => void;

/** Values that stand without quotes in a line of text: no blank, no quote, nothing that could end the line. */
const PLAIN = /^[^\s"=\p{C}]+$/u;

function toText(time: string, level: Level, msg: string, fields: Record<string, unknown>): string {
  const told = Object.entries(fields).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [`${name}=${typeof value === "string" && PLAIN.test(value) ? value : JSON.stringify(value)}`];
  });
  return [time, level.padEnd(5), msg, ...told].join(" ");
}

/**
 * A logger that writes lines without their end, from `level` up. Whatever is in `secrets` never reaches a line, wherever it came
 * from.
 */
export function createLog(
  write: (line: string) => void,
  secrets: readonly string[],
  { level: least, format }: LogSettings = { level: "info", format: "json" },
): Log {
  return (level, msg, fields = {}) => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(least)) return;
    const time = new Date().toISOString();
    let line = format === "json" ? JSON.stringify({ time, level, msg, ...fields }) : toText(time, level, msg, fields);
    for (const secret of secrets)
      for (const form of [JSON.stringify(secret).slice(1, -1), secret]) line = line.replaceAll(form, "[secret]");
    write(line);
  };
}

/** What is worth telling of anything that was thrown; a failed request hides the reason in its cause. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
