// How the agent's Node is started as a service.

export const NODE_FLAGS: readonly string[] = [];

/** `NAME=value` each. */
export const NODE_ENVIRONMENT: readonly string[] = [];
