// Cost models of live migration: what each mechanism would cost for a VM, a link and parameters, and which to take.
export { checkEstimateInput } from "./check.ts";
export { chosenEstimate, estimateMigration, roughEstimate, MODEL_VERSION } from "./estimate.ts";
export type { ChosenEstimate, RoughEstimate } from "./estimate.ts";
export { mechanisms } from "./mechanisms.ts";
export { driverDefaults } from "./parameters.ts";
export type { DriverDefaults } from "./parameters.ts";
export { recommendMechanism } from "./recommend.ts";
