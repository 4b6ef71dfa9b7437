// What the drivers on Linux need of the kernel.
import { accessSync, constants, existsSync } from "node:fs";
import { messageOf } from "../../log.ts";
import { fail, ok, warn, type Finding } from "./finding.ts";

const KVM = "/dev/kvm";

/** `opens`: the agent's own user starts QEMU, so that it must be let in. */
export function kvmFinding(opens: boolean, device = KVM): Finding {
  if (!existsSync(device))
    return warn(
      "KVM",
      `there is no ${device}: VMs are emulated, many times slower`,
      "turn virtualisation on in the firmware, then modprobe kvm_intel or kvm_amd",
    );
  if (!opens) return ok("KVM", `${device} is there`);
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return ok("KVM", `${device} can be opened`);
  } catch (error) {
    return fail("KVM", messageOf(error), `add the agent's user to the group of ${device}, mostly kvm`);
  }
}

/**
 * Post-copy at the destination needs userfaultfd. `sysctl`: `vm.unprivileged_userfaultfd`, null where this kernel has none;
 * `isRoot`: QEMU runs as root.
 */
export function userfaultfdFinding(sysctl: string | null, isRoot: boolean): Finding {
  const about = "userfaultfd";
  if (isRoot) return ok(about, "QEMU runs as root: post-copy can arrive here");
  if (sysctl?.trim() === "1") return ok(about, "vm.unprivileged_userfaultfd is 1: post-copy can arrive here");
  if (sysctl === null)
    return warn(
      about,
      "this kernel does not tell of it: post-copy may not arrive here",
      "use a kernel with CONFIG_USERFAULTFD",
    );
  return warn(
    about,
    `vm.unprivileged_userfaultfd is ${sysctl.trim()} and QEMU does not run as root: no post-copy arrives here`,
    "sysctl -w vm.unprivileged_userfaultfd=1, and keep it in /etc/sysctl.d",
  );
}

/** Reading a guest's pages from outside: for root, or for the owner where Yama (null: not in this kernel) does not forbid it. */
export function nonzeroFinding(isRoot: boolean, isOwner: boolean, yama: string | null): Finding {
  const about = "measureNonzero";
  if (isRoot) return ok(about, "root may read guests' pages");
  if (!isOwner)
    return warn(
      about,
      "only root may read pages of QEMUs of another user: nothing is measured",
      "run the agent as root",
    );
  return yama === null || yama.trim() === "0"
    ? ok(about, "the guests' own user may read their pages")
    : warn(
        about,
        `kernel.yama.ptrace_scope is ${yama.trim()}: pages of guests that this agent did not start cannot be read`,
        "run the agent as root, or set it to 0",
      );
}
