// The same on two libvirts, whose own handshake decides which side runs.
import { MIB } from "../../../../worker/model/units.ts";
import { arrived, type FaultCase } from "../case.ts";
import { guestOf, onlyRun, outcome, setOut, until, type Play } from "../play.ts";
import { CANCELLED, TAKEN_UP, cancelInMidCopy, restartSourceAgent } from "./deaths.ts";

const RESUMING_MS_MAX = 120_000;

/** Nobody tells the agents of it: they see it and mend it. */
async function loseLink(play: Play): Promise<string> {
  const guest = guestOf(play.lane, "lv-steady");
  const moving = await setOut(play, [guest], { mechanisms: ["post-copy"] });
  await until(
    play,
    RESUMING_MS_MAX,
    () => "it does not resume at its destination",
    async () => {
      const { state } = await onlyRun(play, moving);
      if (state === "verifying" || state === "completed") throw new Error("it was through before its link was lost");
      return state === "resuming" ? true : null;
    },
  );
  await moving.from.host.losePostCopy?.(guest.uuid);
  const said = await outcome(play, moving);
  const { migrationId } = await onlyRun(play, moving);
  const types = (await play.edge.api.timeline(migrationId)).map(({ type }) => type);
  const seen = ["paused", "resumed"].filter((type) => types.includes(type));
  return `${seen.join(", ")}; ${said}`;
}

export const libvirtCases: FaultCase[] = [
  {
    name: "libvirt-cancelled",
    lane: "libvirt",
    what: "cancelled in mid-copy, when the destination's libvirt receives the guest",
    expected: CANCELLED,
    run: (play) => cancelInMidCopy(play, "lv-steady"),
  },
  {
    name: "libvirt-agent-restarted",
    lane: "libvirt",
    what: "the source's agent is killed in mid-copy and started again",
    expected: TAKEN_UP,
    run: restartSourceAgent("lv-steady"),
  },
  {
    name: "libvirt-link-lost",
    lane: "libvirt",
    what: "a post-copy loses its link on the way",
    expected: `paused, resumed; ${arrived("post-copy")}`,
    run: loseLink,
  },
  {
    name: "libvirt-steered",
    lane: "libvirt",
    what: "a pre-copy that does not converge goes over to post-copy at its deadline",
    expected: arrived("pre-copy into post-copy"),
    run: async (play) =>
      outcome(
        play,
        await setOut(play, [guestOf(play.lane, "lv-busy")], {
          mechanisms: ["pre-copy"],
          bandwidthBytesPerSecondMax: 16 * MIB,
          downtimeLimitMs: 20,
          // libvirt takes a second or two before it sends anything.
          deadlineMs: 12_000,
          onDeadline: "post-copy",
        }),
      ),
  },
];
