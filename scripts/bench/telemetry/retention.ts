// What a host takes at full retention, from a whole day of a few hosts: the coarsest tier holds a day in a row, so that one
// hour says nothing of it.
import { type Bench, figure, hostIndexes, say, wants } from "./bench.ts";
import { startDrover } from "./drover.ts";
import { nativeBodies } from "./native-bodies.ts";
import { type Section, untilPacked } from "./sections.ts";
import { type Stored, storedNow } from "./stored.ts";
import { type Span, STEP_MS } from "./workload.ts";

const DAY_MS = 86_400_000;
const HOSTS = 4;
/** Default retention, days. */
const RETENTION_DAYS = { raw: 2, "5min": 30, "1h": 400 };
/** Tables with one row a host, or one a VM. The rest does not grow with telemetry. */
const OTHER_TABLES = ["host_state", "host_summaries", "hosts", "vms", "placements"];

/** Yesterday, UTC: the last day that is over, and within raw retention. */
const yesterday = ({ seed }: Bench): Span => ({
  seed,
  steps: DAY_MS / STEP_MS,
  from: Math.floor(Date.now() / DAY_MS - 1) * DAY_MS,
});

export const retentionSection: Section = {
  cases: ["stored"],
  run: async (bench) => {
    if (!wants(bench, "stored")) return;
    const span = yesterday(bench);
    const hosts = Math.min(HOSTS, bench.hosts);
    const indexes = hostIndexes({ ...bench, hosts });
    const drover = await startDrover({ span, hostIndexes: indexes });
    try {
      const before = storedNow(drover.stateDir);
      await drover.sendNative(nativeBodies({ span, scrapes: 20, hostIndexes: indexes }));
      if (await untilPacked(drover)) reportRetention(before, storedNow(drover.stateDir), hosts);
      else say("SKIPPED bytes at full retention: no GET /v1/status, hence nothing is packed and rolled up");
    } finally {
      await drover.stop();
    }
  },
};

function reportRetention(before: Stored, after: Stored, hosts: number): void {
  const aDay = (tier: keyof Stored["tiers"]): number => (after.tiers[tier] - before.tiers[tier]) / hosts;
  const others = OTHER_TABLES.reduce((sum, table) => sum + (after.others.get(table) ?? 0), 0) / hosts;
  const days = { raw: aDay("raw"), "5min": aDay("5min"), "1h": aDay("1h") };
  const tiers = Object.keys(days) as (keyof typeof days)[];
  for (const tier of tiers) figure("stored", `bytesPerHostAndDay ${tier}`, days[tier], "B");
  figure(
    "stored",
    "bytesPerHostAndDay",
    tiers.reduce((sum, tier) => sum + days[tier], 0),
    "B",
  );
  figure("stored", "bytesPerHost state", others, "B");
  const held = tiers.reduce((sum, tier) => sum + days[tier] * RETENTION_DAYS[tier], others);
  figure("stored", "bytesPerHostAtFullRetention", held, "B");
}
