// The newest sample stays: the baseline against which every other forecaster is measured.
import { byOwnErrors, errorsOf } from "./interval.ts";

export const last = byOwnErrors({
  name: "last",
  summary: "The newest sample stays.",
  fit: (series, errorSteps) => ({
    mean: series.values.at(-1) ?? 0,
    errors: errorsOf(series, errorSteps, (origin) => series.values[origin] ?? 0),
    model: {},
  }),
});
