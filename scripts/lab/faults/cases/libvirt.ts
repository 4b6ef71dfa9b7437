// The same on two libvirts, whose own handshake decides which side runs.
import { MIB } from "../../../../worker/model/units.ts";
import { arrived, type FaultCase } from "../case.ts";
import { guestOf, outcome, setOut } from "../play.ts";
import { CANCELLED, TAKEN_UP, cancelInMidCopy, copyAt, restartSourceAgent } from "./deaths.ts";

/**
 * libvirt samples 72 pages of such a guest: each that has changed stands for 2 MiB, so that now and then one that hardly writes
 * looks as if it dirtied a few MiB a second, and a plan that sends no faster is refused. It takes some ten seconds.
 */
const COPY = copyAt(12 * MIB);

export const libvirtCases: FaultCase[] = [
  {
    name: "libvirt-cancelled",
    lane: "libvirt",
    what: "cancelled in mid-copy, when the destination's libvirt receives the guest",
    expected: CANCELLED,
    run: (play) => cancelInMidCopy(play, "lv-steady", COPY),
  },
  {
    name: "libvirt-agent-restarted",
    lane: "libvirt",
    what: "the source's agent is killed in mid-copy and started again",
    expected: TAKEN_UP,
    run: restartSourceAgent("lv-steady", COPY),
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
