import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { qmpConfig, type QmpSettings } from "../../../scripts/agent/qmp/config.ts";
import {
  listDescriptors,
  readDescriptor,
  removeDescriptor,
  writeDescriptor,
} from "../../../scripts/agent/qmp/descriptor.ts";
import { describeMachine, findTemplate, type Machine } from "../../../scripts/agent/qmp/machine.ts";
import { findProcess, isAlive, killAndProve, startProcess } from "../../../scripts/agent/qmp/process.ts";

const UUID = "11111111-2222-4333-8444-555555555555";
const machine = (changes: Partial<Machine> = {}): Machine => ({
  uuid: UUID,
  name: "web-1",
  vcpus: 2,
  memoryBytes: 2 ** 28 + 131_072,
  machineType: "pc-i440fx-7.2",
  ...changes,
});

function folder(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "drover-m-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

const settings = (directory: string): QmpSettings =>
  qmpConfig.parse({
    name: "qmp",
    directory,
    address: "127.0.0.1",
    cores: 2,
    machines: [
      { type: "pc-i440fx-7.2", cpuMode: "qemu64", arguments: ["-serial", "file:{directory}/{uuid}.serial", "{name}"] },
      { type: "q35", arguments: [] },
    ],
  });

test("a command line is an array of arguments, built from the template and the VM alone", () => {
  const [template] = settings("/vms").machines;
  if (template === undefined) throw new Error("no template");
  const named = machine({ name: "a,b; rm -rf {uuid}" });
  const own = ["-name", "guest=a,,b; rm -rf {uuid}", "-uuid", UUID, "-machine", "pc-i440fx-7.2", "-m", "262272k"];
  const extra = ["-smp", "2", "-serial", `file:/vms/${UUID}.serial`, "a,,b; rm -rf {uuid}"];
  const control = ["-qmp", `unix:/vms/${UUID}.qmp,server=on,wait=off`, "-pidfile", `/vms/${UUID}.pid`];
  const always = ["qemu-system-x86_64", ...own, ...extra, ...control];
  expect(describeMachine(template, "/vms", named, undefined).argv).toEqual(always);
  const waiting = ["-S", "-incoming", "defer"];
  expect(describeMachine(template, "/vms", named, { migrationId: "m1" }).argv).toEqual([...always, ...waiting]);
});

test.each([
  [{ machineType: "q35" }, "q35"],
  [{ cpuMode: "qemu64" }, "pc-i440fx-7.2"],
  [{ cpuMode: "host" }, "no template for machine type pc-i440fx-7.2, CPU mode host"],
  [{ machineType: "virt" }, "this host has: pc-i440fx-7.2 with qemu64, q35"],
])("the template for %j", (changes, expected) => {
  const found = findTemplate(settings("/vms").machines, machine(changes));
  expect(typeof found === "string" ? found : found.type).toContain(expected);
});

test("a directory whose sockets QEMU could not open is refused", () => {
  expect(() => settings(`/${"x".repeat(66)}`)).toThrow(/66 characters/);
  expect(() => settings("/a,b")).toThrow(/comma/);
  expect(() => settings("vms")).toThrow(/absolute/);
});

test("guests' memory does not leave this machine unencrypted unless somebody says so", () => {
  const config = { ...settings("/vms"), address: "10.0.0.7" };
  expect(() => qmpConfig.parse(config)).toThrow(/tlsDirectory/);
  expect(qmpConfig.parse({ ...config, tlsDirectory: "/etc/pki/qemu" }).plaintext).toBe(false);
  expect(qmpConfig.parse({ ...config, plaintext: true }).address).toBe("10.0.0.7");
});

test("descriptors come back as written, and one that cannot be understood is never passed over", () => {
  const directory = folder();
  const [template] = settings(directory).machines;
  if (template === undefined) throw new Error("no template");
  const content = describeMachine(template, directory, machine(), undefined);
  writeDescriptor(directory, content);
  expect(readDescriptor(directory, UUID)).toEqual(content);
  const other = path.join(directory, "99999999-2222-4333-8444-555555555555.json");
  writeFileSync(other, "{}");
  expect(() => listDescriptors(directory)).toThrow(other);
  rmSync(other);
  removeDescriptor(directory, content);
  expect(listDescriptors(directory)).toEqual([]);
});

test("a process outlives its starter's handle, is found by its exact command line, and is proven dead", async () => {
  const directory = folder();
  const argv = ["sleep", "61.25"];
  const [pidFile, logFile] = [path.join(directory, "pid"), path.join(directory, "log")];
  await startProcess(argv, logFile);
  const id = await findProcess({ argv, pidFile });
  if (id === null) throw new Error("the process was not found");
  onTestFinished(() => killAndProve(id, 5000));
  writeFileSync(pidFile, `${id.pid}\n`);
  expect(await findProcess({ argv, pidFile })).toEqual(id);
  // A pid file that names another program's process is not believed.
  writeFileSync(pidFile, `${process.pid}\n`);
  expect(await findProcess({ argv, pidFile })).toEqual(id);
  expect(await findProcess({ argv: ["sleep", "61.26"], pidFile })).toBeNull();
  // The same pid with another start time is another process.
  expect(await isAlive({ ...id, startTicks: id.startTicks + 1 })).toBe(false);
  await killAndProve(id, 5000);
  expect(await isAlive(id)).toBe(false);
  expect(await findProcess({ argv, pidFile })).toBeNull();
});

test("a program that cannot be executed says so", async () => {
  const logFile = path.join(folder(), "log");
  await expect(startProcess(["no-such-program"], logFile)).rejects.toMatchObject({ reason: "not-started" });
  expect(readFileSync(logFile, "utf8")).toBe("");
});
