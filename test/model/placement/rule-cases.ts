// What the operators' rules and maintenance refuse, and what they let pass.
import { uuidOf } from "../../support/world.ts";
import type { Case, Refused } from "./constraint-cases.ts";

const hard = { ruleId: "r1", hard: true, pricePerHour: 1 } as const;
const both = { uuids: [uuidOf("app"), uuidOf("rival")] };

export const refusedByRule: Refused[] = [
  {
    name: "a destination in maintenance",
    to: { maintenance: { since: 0, reason: "new memory" } },
    rejection: { constraint: "host-maintenance", hostId: "hv-02" },
    says: "new memory",
  },
  {
    name: "a host that a rule does not name",
    world: {
      rules: [{ ...hard, kind: "host-affinity", vms: { uuids: [uuidOf("app")] }, hosts: { hostIds: ["hv-01"] } }],
    },
    rejection: { constraint: "host-affinity", hostId: "hv-02" },
    says: "keeps app on hv-01",
  },
  {
    name: "a host that a rule forbids, by its label",
    to: { labels: { tier: "test" } },
    vm: { labels: { tier: "live" } },
    world: {
      rules: [
        { ...hard, kind: "host-anti-affinity", vms: { labels: { tier: "live" } }, hosts: { labels: { tier: "test" } } },
      ],
    },
    rejection: { constraint: "host-affinity", hostId: "hv-02" },
    says: "rule r1 keeps app off hv-02",
  },
  {
    name: "a rack with a VM that a rule keeps apart",
    from: { rack: "a" },
    to: { rack: "b" },
    others: { rival: { on: "hv-03" } },
    world: {
      hosts: { "hv-01": { rack: "a" }, "hv-02": { rack: "b" }, "hv-03": { rack: "b" } },
      rules: [{ ...hard, kind: "vm-anti-affinity", vms: both, domain: "rack" }],
    },
    rejection: { constraint: "anti-affinity", hostId: "hv-02" },
    says: "the rack of hv-02 has rival",
  },
  {
    name: "leaving behind a VM that a rule keeps together with it",
    others: { rival: { on: "hv-01" } },
    world: { rules: [{ ...hard, kind: "vm-affinity", vms: both, domain: "host" }] },
    rejection: { constraint: "affinity", hostId: "hv-02" },
    says: "together with rival",
  },
];

export const allowedByRule: Case[] = [
  {
    name: "a VM that a rule keeps together with one there",
    others: { rival: { on: "hv-02" } },
    world: { rules: [{ ...hard, kind: "vm-affinity", vms: both, domain: "host" }] },
  },
  {
    name: "the first of a group off a host that is being evacuated",
    others: { rival: { on: "hv-01" } },
    world: { rules: [{ ...hard, kind: "vm-affinity", vms: both, domain: "host" }] },
    parameters: { hostIds: ["hv-01"] },
  },
  {
    name: "a rival in the rack that the VM is in already",
    others: { rival: { on: "hv-03" } },
    world: {
      hosts: { "hv-01": { rack: "a" }, "hv-02": { rack: "a" }, "hv-03": { rack: "a" } },
      rules: [{ ...hard, kind: "vm-anti-affinity", vms: both, domain: "rack" }],
    },
  },
  {
    name: "what only a soft rule is against",
    others: { rival: { on: "hv-02" } },
    world: { rules: [{ ...hard, hard: false, kind: "vm-anti-affinity", vms: both, domain: "host" }] },
  },
];
