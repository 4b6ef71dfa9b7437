// How the agent's Node is started, as a service and by the bundled file's first line: small rather than fast. An agent computes
// for a hundredth of the time; docs/adr/0017-agent-as-a-service.md has what each of these is worth.

export const NODE_FLAGS: readonly string[] = [
  // Most of what a look at the VMs allocates is garbage at once: it is collected while it is little.
  "--max-semi-space-size=1",
  "--optimize-for-size",
  // Without the optimizing compilers, their code and their threads.
  "--no-opt",
  "--no-maglev",
  "--v8-pool-size=0",
];

/** `NAME=value` each. One arena of the C library's allocator instead of one a thread. */
export const NODE_ENVIRONMENT: readonly string[] = ["MALLOC_ARENA_MAX=1"];
