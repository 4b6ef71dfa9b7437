// What is asked of libvirt rarely because it changes rarely: an inventory every few seconds must not start a process a VM.
import { parseXml, type Element } from "./xml.ts";
import type { Virsh } from "./virsh.ts";

const KEEP_MS = 300_000;

/** Events after which a domain's XML may be another. */
const CHANGES = ["lifecycle", "device-added", "device-removed", "tunable", "memory-device-size-change"];

export type Definitions = {
  /** The XML of a live domain as it is now, of any other as it would be started. */
  domain: (uuid: string, name: string) => Promise<Element>;
  pool: (name: string) => Promise<Element>;
  capabilities: () => Promise<Element>;
  noteEvent: (event: { name: string; domain: string }) => void;
};

export function createDefinitions(virsh: Virsh): Definitions {
  const kept = new Map<string, { atMs: number; name: string; answer: Promise<Element> }>();
  const ask = (key: string, name: string, ...command: [string, ...string[]]): Promise<Element> => {
    const known = kept.get(key);
    if (known !== undefined && Date.now() - known.atMs < KEEP_MS) return known.answer;
    const entry = { atMs: Date.now(), name, answer: virsh(...command).then(parseXml) };
    kept.set(key, entry);
    entry.answer.catch(() => kept.get(key) === entry && kept.delete(key));
    return entry.answer;
  };
  return {
    domain: (uuid, name) => ask(`domain ${uuid}`, name, "dumpxml", uuid),
    pool: (name) => ask(`pool ${name}`, "", "pool-dumpxml", name),
    capabilities: () => ask("capabilities", "", "capabilities"),
    noteEvent: ({ name, domain }) => {
      if (!CHANGES.includes(name)) return;
      for (const [key, entry] of kept) if (entry.name === domain) kept.delete(key);
    },
  };
}
