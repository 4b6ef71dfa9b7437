import type { Mechanism } from "../wire/common.ts";
import type { MigrationParameters } from "../wire/command.ts";
import type { EstimateInput, HypervisorCommands } from "./types.ts";

export function hypervisorCommands(
  _input: EstimateInput,
  _mechanism: Mechanism,
  _parameters: MigrationParameters,
): HypervisorCommands {
  return { qmp: [], virsh: [] };
}
