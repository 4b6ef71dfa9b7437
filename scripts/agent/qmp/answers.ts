// The parts of QEMU's answers that the driver reads. Loose on purpose: newer QEMUs add fields.
import { z } from "zod";

export const statusAnswer = z.looseObject({ status: z.string(), running: z.boolean() });

/** `query-migrate`; every field is absent before the first migration. */
export const migrateAnswer = z.looseObject({
  status: z.string().optional(),
  "total-time": z.number().optional(),
  downtime: z.number().optional(),
  "cpu-throttle-percentage": z.number().optional(),
  "error-desc": z.string().optional(),
  "socket-address": z
    .array(z.looseObject({ type: z.string(), host: z.string().optional(), port: z.string().optional() }))
    .optional(),
  ram: z
    .looseObject({
      total: z.number(),
      remaining: z.number(),
      transferred: z.number(),
      normal: z.number(),
      duplicate: z.number(),
      "page-size": z.number(),
      mbps: z.number(),
      "dirty-sync-count": z.number(),
      "dirty-pages-rate": z.number(),
      "postcopy-requests": z.number().optional(),
      "postcopy-bytes": z.number().optional(),
    })
    .optional(),
});
export type MigrateAnswer = z.infer<typeof migrateAnswer>;

export const kvmAnswer = z.looseObject({ enabled: z.boolean() });

export const cpusAnswer = z.array(z.looseObject({ "thread-id": z.int() }));

export const dirtyRateAnswer = z.looseObject({
  status: z.enum(["unstarted", "measuring", "measured"]),
  /** MiB/s of distinct pages that changed within `calc-time`, rounded down. */
  "dirty-rate": z.number().optional(),
});

export const blockAnswer = z.array(
  z.looseObject({
    device: z.string(),
    qdev: z.string().optional(),
    removable: z.boolean().optional(),
    inserted: z
      .looseObject({
        ro: z.boolean(),
        cache: z.looseObject({ writeback: z.boolean(), direct: z.boolean() }).optional(),
        image: z.looseObject({ "virtual-size": z.number() }).optional(),
      })
      .optional(),
  }),
);
export type BlockAnswer = z.infer<typeof blockAnswer>;

export const blockStatsAnswer = z.array(
  z.looseObject({ stats: z.looseObject({ rd_bytes: z.number(), wr_bytes: z.number() }) }),
);
