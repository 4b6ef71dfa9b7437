import type { Fault } from "../errors.ts";

/** Where the ids are found that there are. */
export function whereToLook(what: Extract<Fault, { code: "not_found" }>["what"]): string {
  if (what === "host") return "Register the host with PUT /v1/hosts/{hostId}, or look it up in GET /v1/hosts.";
  if (what === "vm") return "VMs come with their host's inventory; GET /v1/vms lists those that are known.";
  if (what === "policy") return "GET /v1/policies lists those that there are.";
  if (what === "trigger") return "GET /v1/triggers lists those that there are.";
  if (what === "preflight" || what === "check")
    return "They are kept for seven days: ask with POST /v1/moves/preflight.";
  if (what === "route") return "GET /v1/routes lists those that there are.";
  if (what === "chat-user") return "GET /v1/chat/users lists those that are linked.";
  if (what === "chat-code")
    return "Codes are good for 15 minutes and once: ask for another one in the chat, with help.";
  if (what === "chat-channel") return "GET /v1/chat/channels lists those that are told something.";
  if (what === "approval-rule") return "GET /v1/approval-rules lists those that there are.";
  if (what === "delivery") return "GET /v1/webhooks/{webhookId}/deliveries lists those of the last 30 days.";
  return `GET the list of ${what}s for the ids that exist.`;
}
