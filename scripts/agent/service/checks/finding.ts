// What `check` finds, and how it is told.

/** `warn`: works, or most of it does; `fail`: the agent, or a migration, will not work before it is put right. */
export type Finding = { level: "ok" | "warn" | "fail"; about: string; says: string; remedy?: string };

export const ok = (about: string, says: string): Finding => ({ level: "ok", about, says });
export const warn = (about: string, says: string, remedy: string): Finding => ({ level: "warn", about, says, remedy });
export const fail = (about: string, says: string, remedy: string): Finding => ({ level: "fail", about, says, remedy });

/** One line whatever the texts hold. */
export function toLine({ level, about, says, remedy }: Finding): string {
  const text = `${level.padEnd(4)}  ${about}: ${says}${remedy === undefined ? "" : `; ${remedy}`}`;
  return text.replaceAll(/\s*\n\s*/g, " ");
}
