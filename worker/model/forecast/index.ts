// The forecasters. A new one is one file and one line here.
import { ar1 } from "./ar1.ts";
import { arp } from "./arp.ts";
import { cloud } from "./cloud.ts";
import { holtWinters } from "./holt-winters.ts";
import { last } from "./last.ts";
import { mean } from "./mean.ts";
import type { Forecaster, ForecasterName } from "./types.ts";

export const forecasters: Record<ForecasterName, Forecaster> = {
  last,
  mean,
  ar1,
  arp,
  "holt-winters": holtWinters,
  cloud,
};
