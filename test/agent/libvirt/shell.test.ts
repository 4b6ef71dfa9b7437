// The virsh that is asked many things, against one that is started for each.
import { afterAll, describe, expect, test } from "vitest";
import { answerOf, createShell } from "../../../scripts/agent/libvirt/shell.ts";
import { createVirsh } from "../../../scripts/agent/libvirt/virsh.ts";
import { missingTools } from "../../../scripts/lab/build-guest.ts";

const SETTINGS = { virsh: "virsh", uri: "test:///default" };
const GROUPS = ["--cpu-total", "--balloon", "--vcpu", "--interface", "--block", "--state"];
const isMissing = missingTools(["virsh"]).length > 0;
if (isMissing && process.env["CI"]) throw new Error("apt-get install -y --no-install-recommends libvirt-clients");

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

describe.skipIf(isMissing)("one virsh", () => {
  const [shell, virsh] = [createShell(SETTINGS), createVirsh(SETTINGS)];
  afterAll(shell.close);

  test.each([
    ["domstats", "--raw", ...GROUPS, "--list-active", "--nowait", "--list-persistent"],
    ["list", "--all", "--uuid", "--name"],
    ["nodeinfo"],
  ])("answers %s as another one does", async (command, ...args) => {
    expect(lines(await shell.virsh(command, ...args))).toEqual(lines(await virsh(command, ...args)));
  });

  test("answers several at once, some of which fail", async () => {
    const asked = ["list --all --uuid --name", "domstats --raw nosuch", "domstats --raw --state"];
    const [all, each] = [await shell.virsh.several(...asked), await virsh.several(...asked)];
    expect([lines(all.stdout), lines(all.stderr)]).toEqual([lines(each.stdout), lines(each.stderr)]);
    expect(all.stderr).toContain("nosuch");
  });

  test("gives whoever asks at the same time an own answer", async () => {
    const [list, info, stats] = await Promise.all([
      shell.virsh("list", "--all", "--name"),
      shell.virsh("nodeinfo"),
      shell.virsh("domstats", "--raw", "--state"),
    ]);
    expect([lines(list), lines(info)[0], lines(stats)[0]]).toEqual([
      ["test"],
      expect.stringMatching(/^CPU model/),
      "Domain: 'test'",
    ]);
  });

  test("fails for the reason that another one fails for, and goes on", async () => {
    await expect(shell.virsh("dominfo", "nosuch")).rejects.toMatchObject({ reason: "unknown-vm" });
    await expect(shell.virsh("domdirtyrate-calc", "test")).rejects.toMatchObject({ reason: "hypervisor-refused" });
    expect(lines(await shell.virsh("list", "--all", "--name"))).toEqual(["test"]);
  });

  test("is asked for nothing that it could take for something else", async () => {
    await expect(shell.virsh("dominfo", "test; destroy test")).rejects.toMatchObject({ reason: "hypervisor-refused" });
  });

  test("that was ended is followed by another", async () => {
    shell.close();
    expect(lines(await shell.virsh("list", "--all", "--name"))).toEqual(["test"]);
  });
});

test.each([
  ["is not there", "/no/virsh", /install libvirt's clients/],
  ["ends at once", "false", /has ended/],
])("a virsh that %s is told", async (_name, program, why) => {
  const shell = createShell({ ...SETTINGS, virsh: program });
  await expect(shell.virsh("list")).rejects.toMatchObject({
    reason: "hypervisor-silent",
    message: expect.stringMatching(why),
  });
  shell.close();
});

test.each([
  ["nothing", "", "", null],
  ["its echo only", "virsh # echo m1-begin; list\n", "error: m1-end\n", null],
  ["everything but the complaints", "\nm1-beginA\nvirsh # echo m1-end\nm1-end", "", null],
  ["an answer of an earlier mark", "\nm1-beginA\n\nm1-end", "error: m11-end\n", null],
  [
    "everything",
    "virsh # echo m1-begin; list\nm1-beginA\nB\n\nvirsh # echo --err m1-end\nvirsh # echo m1-end\nm1-endvirsh # ",
    "error: odd\nerror: m1-end\n",
    { stdout: "A\nB\n", stderr: "error: odd\n" },
  ],
  [
    "a line that was too long for its editor",
    "\r<-begin; list\nm1-beginA\nvirsh # x\nm1-end",
    "error: m1-end",
    { stdout: "A", stderr: "" },
  ],
])("of what it said, %s", (_name, stdout, stderr, answer) => {
  expect(answerOf({ stdout, stderr }, "m1")).toEqual(answer);
});
