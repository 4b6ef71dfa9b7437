// Files of /proc and /sys.
import { readFileSync } from "node:fs";

/**
 * The text of a file; null where it is not there or may not be read. Read at once: the kernel makes these files up in
 * microseconds, a tenth of what handing the work to another thread costs.
 */
export function readTextSync(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** The same, for callers that wait for others too. */
export async function readText(file: string): Promise<string | null> {
  return readTextSync(file);
}
