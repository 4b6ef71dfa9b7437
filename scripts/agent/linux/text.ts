// Files of /proc and /sys.
import { readFile } from "node:fs/promises";

/** The text of a file; null where it is not there or may not be read. */
export async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return null;
  }
}
