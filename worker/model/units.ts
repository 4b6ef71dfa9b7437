// Units and their conversions. Everything inside Drover is in base units (bytes, milliseconds, watts, ratios 0…1);
// conversion happens at the edge only.

/** 2^20 bytes, as QEMU and libvirt count bandwidth. */
export const MIB = 1_048_576;
/** 2^30 bytes. */
export const GIB = 1_073_741_824;
/** The page size of an x86 guest without huge pages, in bytes. */
export const PAGE_BYTES = 4096;
export const SECOND_MS = 1000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** A host is stale, hence unknown to the advisor, when nothing was heard of it for this long (DESIGN section 4). */
export const HOST_STALE_MS = 60_000;
/** Both hosts of a move must have been heard within this time when it is executed. */
export const HOST_FRESH_MS = 30_000;
