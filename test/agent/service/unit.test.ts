// The unit that install writes.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { parseConfig, type AgentConfig } from "../../../scripts/agent/config.ts";
import { problemsOf, verifyUnit } from "../../../scripts/agent/service/install.ts";
import { needsOf, quoteWord, unitText, type UnitPlan } from "../../../scripts/agent/service/unit.ts";
import { createSigner } from "../../support/edge.ts";

const LIBVIRT = {
  name: "libvirt",
  directory: "/var/lib/drover-agent/libvirt",
  address: "hv-01.example.com",
  tls: true,
} as const;
const QMP = {
  name: "qmp",
  directory: "/srv/vms",
  address: "10.0.0.11",
  plaintext: true,
  cores: 16,
  machines: [{ type: "pc-q35-7.2", arguments: ["-accel", "kvm"] }],
} as const;

function planFor(
  driver: AgentConfig["driver"],
  owner: string | null = null,
  changes: Partial<AgentConfig> = {},
): UnitPlan {
  const settings = parseConfig({
    url: "https://drover.example.com",
    token: "drv_secret",
    hostId: "hv-01",
    cluster: "prod",
    stateDir: "/var/lib/drover-agent",
    commandPublicKeys: [createSigner().publicKey],
    peerSecret: "the secret of this cluster",
    peer: { listenHost: "10.0.0.11", port: 7701 },
    driver,
    ...changes,
  });
  return {
    node: "/usr/bin/env",
    agentFile: "/usr/local/lib/drover-agent.js",
    configFile: "/etc/drover/agent.json",
    settings,
    needs: needsOf(settings, () => owner),
  };
}

const PLANS: [string, UnitPlan][] = [
  ["libvirt", planFor(LIBVIRT)],
  ["libvirt-nonzero", planFor({ ...LIBVIRT, measureNonzero: true })],
  ["qmp-root", planFor(QMP)],
  ["qmp-user", planFor(QMP, "vms")],
  [
    "simulated",
    planFor({ name: "simulated", host: "hv-01", socket: "/tmp/world.sock" }, null, { stateDir: "/srv/state" }),
  ],
];

test.each(PLANS)("of driver %s is as it was, names no secret, and systemd takes it", (name, plan) => {
  const text = unitText(plan);
  const file = path.join(import.meta.dirname, "golden", `${name}.service`);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, "utf8"));
  expect(text).not.toMatch(/drv_secret|the secret/);
  expect(verifyUnit(text)).toBeNull();
});

test.skipIf(spawnSync("systemd-analyze", ["--version"]).error !== undefined)(
  "what systemd would not take is told",
  () => expect(verifyUnit("[Service]\nExecStart=/no/such/program\n")).toMatch(/no\/such\/program/),
);

test.each([
  ["plain", "plain"],
  ["/a b", '"/a b"'],
  ["50%", "50%%"],
  ['say "hi" \\', String.raw`"say \"hi\" \\"`],
])("a word of a unit, %j, stands for itself", (word, quoted) => expect(quoteWord(word)).toBe(quoted));

test("guests that the agent started are neither limited nor ended with it", () => {
  const text = unitText(planFor(QMP));
  expect(text).toContain("KillMode=process");
  expect(text).not.toMatch(/MemoryMax|PrivateDevices|PrivateTmp=yes/);
});

test.each([
  ["a state folder that services do not see", { stateDir: "/home/ops/state" }, /stateDir is \/home\/ops\/state/],
  ["a path that depends on where it was started", { stateDir: "state" }, /absolute/],
  ["a policy that services do not see", { policyFile: "/root/policy.json" }, /policyFile is \/root/],
])("%s is refused", (_name, changes, why) => {
  expect(problemsOf(planFor(LIBVIRT, null, changes)).join("\n")).toMatch(why);
});

test("a plan that works has no problems", () => expect(problemsOf(planFor(LIBVIRT))).toEqual([]));
