// The mean of the window, at any distance: what is left of a series that forgets at once.
import { meanOf } from "../quantile.ts";
import { byOwnErrors, errorsOf } from "./interval.ts";

export const mean = byOwnErrors({
  name: "mean",
  summary: "The mean of the window.",
  fit: (series, errorSteps) => {
    const centre = meanOf(series.values, series.values.length);
    return { mean: centre, errors: errorsOf(series, errorSteps, () => centre), model: {} };
  },
});
