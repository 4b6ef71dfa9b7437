// What all parts of the driver work with.
import type { LibvirtSettings } from "./config.ts";
import { createDefinitions, type Definitions } from "./definitions.ts";
import { createEvents, type Events, type LibvirtEvent } from "./events.ts";
import { createMigrateChildren, type MigrateChildren } from "./migrate.ts";
import { openRecords, type Records } from "./records.ts";
import { createShell, type Shell } from "./shell.ts";
import { createVirsh, type Virsh } from "./virsh.ts";

export type Libvirt = {
  settings: LibvirtSettings;
  virsh: Virsh;
  /** The same virsh for all looks that are taken all the time; nothing that moves a VM waits for its answer. */
  looks: Shell;
  definitions: Definitions;
  records: Records;
  events: Events;
  children: MigrateChildren;
};

/** Keeps what only an event says. */
function note(records: Records, uuid: string, { name, detail, atMs, stats }: LibvirtEvent): void {
  if (name === "job-completed" && Object.keys(stats).length > 0)
    return records.updateOutgoing(uuid, (out) => ({ ...out, counters: { ...stats } }));
  if (name !== "lifecycle") return;
  const [what] = detail.split(" ");
  if (what === "Suspended")
    records.updateOutgoing(uuid, (out) => ({
      ...out,
      stoppedAtMs: out.stoppedAtMs ?? atMs,
      postCopy: out.postCopy || detail === "Suspended Post-copy",
    }));
  if (what === "Resumed") {
    records.updateOutgoing(uuid, (out) => ({ ...out, stoppedAtMs: null }));
    records.updateIncoming(uuid, (now) => ({ ...now, seen: true, resumedAtMs: now.resumedAtMs ?? atMs }));
  }
  if (detail === "Stopped Migrated") records.updateOutgoing(uuid, (out) => ({ ...out, leftAtMs: atMs }));
}

/** Opens nothing before it is used. */
export function createLibvirt(settings: LibvirtSettings): Libvirt {
  const virsh = createVirsh(settings);
  const definitions = createDefinitions(virsh);
  const records = openRecords(settings.directory);
  const events = createEvents(settings, (event) => {
    definitions.noteEvent(event);
    try {
      for (const { uuid } of records.withName(event.domain)) note(records, uuid, event);
    } catch {
      // The disk refuses: a moment stays unknown, and the migration goes on.
    }
  });
  return {
    settings,
    records,
    events,
    virsh,
    looks: createShell(settings),
    definitions,
    children: createMigrateChildren(settings, records),
  };
}
