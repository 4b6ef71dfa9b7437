import { createServer, type AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { skewFinding } from "../../../scripts/agent/service/checks/edge.ts";
import { toLine, warn } from "../../../scripts/agent/service/checks/finding.ts";
import {
  diskFinding,
  folderFinding,
  hookFindings,
  nodeFinding,
  portFinding,
} from "../../../scripts/agent/service/checks/host.ts";
import { kvmFinding, nonzeroFinding, userfaultfdFinding } from "../../../scripts/agent/service/checks/kernel.ts";
import { libvirtFindings, remedyFor } from "../../../scripts/agent/service/checks/libvirt.ts";
import { qmpFindings } from "../../../scripts/agent/service/checks/qmp.ts";
import { MIB } from "../../../worker/model/units.ts";

test.each([
  ["a clock that agrees", skewFinding(-400), "ok", /400 ms behind/],
  ["a clock that is odd", skewFinding(5000), "warn", /5000 ms ahead of.*synchronise/],
  ["a clock on which commands expire", skewFinding(-30_000), "fail", /expire.*synchronise/],
  ["room for everything", diskFinding("/s", 200 * MIB), "ok", /200 MiB are free for \/s/],
  ["no room for a spool", diskFinding("/s", 40 * MIB), "warn", /outage.*free 80 MiB/],
  ["no room for a ledger", diskFinding("/s", MIB), "fail", /commands.*free 16 MiB/],
  ["a Node that is too old", nodeFinding("18.20.1"), "fail", /install Node 20/],
  ["a Node of today", nodeFinding("24.1.0"), "ok", /24\.1\.0/],
  ["no KVM", kvmFinding(true, "/no/kvm"), "warn", /modprobe/],
  ["a KVM of libvirt's", kvmFinding(false, "/dev/null"), "ok", /is there/],
  ["a KVM that opens", kvmFinding(true, "/dev/null"), "ok", /can be opened/],
  ["userfaultfd for all", userfaultfdFinding("1\n", false), "ok", /can arrive/],
  ["userfaultfd for root", userfaultfdFinding("0\n", true), "ok", /can arrive/],
  ["userfaultfd for root only", userfaultfdFinding("0\n", false), "warn", /is 0.*sysctl -w/],
  ["no userfaultfd", userfaultfdFinding(null, false), "warn", /CONFIG_USERFAULTFD/],
  ["pages of others' QEMUs", nonzeroFinding(false, false, "1"), "warn", /as root/],
  ["pages under Yama", nonzeroFinding(false, true, "1\n"), "warn", /ptrace_scope is 1/],
  ["pages without Yama", nonzeroFinding(false, true, null), "ok", /may read/],
  ["a folder in a file", folderFinding("state", "/dev/null/state"), "fail", /make \/dev\/null\/state/],
  ["a folder still to be made", folderFinding("state", "/tmp/drover-never-made"), "ok", /will be made/],
])("%s", (_name, finding, level, line) => {
  expect(finding.level).toBe(level);
  expect(toLine(finding)).toMatch(line);
});

test("a finding is one line whatever it holds", () => {
  expect(toLine(warn("a", "first\n  second", "do\nthis"))).toBe("warn  a: first second; do this");
});

test.each([
  ["virsh is not on this host: install libvirt's clients", /set virsh/],
  ["authentication unavailable: no polkit agent available", /groups libvirt/],
  ["Failed to connect socket to '/run/libvirt/virtqemud-sock': No such file or directory", /systemctl enable/],
  ["something new", /virsh -c qemu:\/\/\/system version/],
])("what libvirt says, %j, has a remedy", (complaint, remedy) => {
  expect(remedyFor(complaint, { uri: "qemu:///system", virsh: "virsh" })).toMatch(remedy);
});

test("a port is free, another's, the agent's own, or not of this host", async () => {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const at = async (listenHost: string, isRunning: boolean) =>
    (await portFinding("peer port", { listenHost, port }, isRunning)).level;
  expect(await at("127.0.0.1", false)).toBe("fail");
  expect(await at("127.0.0.1", true)).toBe("ok");
  expect(await at("127.0.0.2", false)).toBe("ok");
  expect(toLine(await portFinding("peer port", { listenHost: "192.0.2.1", port: 0 }, false))).toMatch(
    /no address of this host/,
  );
});

test("a host without QEMU, certificates and its own address fails in each, with what to do", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-check-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const findings = await qmpFindings({
    name: "qmp",
    directory: path.join(folder, "vms"),
    address: "192.0.2.1",
    tlsDirectory: path.join(folder, "tls"),
    cores: 4,
    machines: [{ type: "pc-q35-7.2", binary: path.join(folder, "qemu"), arguments: [] }],
  });
  const failed = findings.filter(({ level }) => level === "fail").map(toLine);
  expect(failed).toEqual([
    expect.stringMatching(/machine pc-q35-7\.2: .*cannot be executed; install/),
    expect.stringMatching(/address: 192\.0\.2\.1 is no address of this host.*; set address/),
    expect.stringMatching(/TLS: .*ca-cert\.pem cannot be read.*client-key\.pem cannot be read.*; put it right/),
  ]);
});

test("a hook's programs are looked for, each of them", () => {
  const [before, after] = [["/bin/sh", "-c", "true"], ["/no/program"]];
  expect(hookFindings([{ name: "db", vms: ["db-*"], before, after, timeoutMs: 1000 }]).map(toLine)).toEqual([
    expect.stringMatching(/^ok {4}hook db: \/bin\/sh can be executed/),
    expect.stringMatching(/^fail {2}hook db: .*\/no\/program.*; make \/no\/program executable/),
  ]);
});

test("a host without libvirt's clients is told where they come from", async () => {
  const settings = { name: "libvirt", virsh: "/no/virsh", directory: "/tmp/drover-never-made", address: "127.0.0.1" };
  const lines = (await libvirtFindings(settings)).map(toLine);
  expect(lines).toContainEqual(expect.stringMatching(/^fail {2}libvirt: \/no\/virsh is not on this host.*set virsh/));
});
