// One migration in each of the shapes, but for what is told, and what is made of records.
import { expect } from "vitest";
import { readRecords } from "../../../../worker/model/calibration/import/index.ts";
import type { ImportedRow } from "../../../../worker/model/calibration/import/index.ts";

export const GIB = 2 ** 30;
export type Record_ = Record<string, unknown>;

export const read = (...records: Record_[]) =>
  readRecords(
    records.map((record, index) => ({ line: index + 1, record })),
    { hypervisor: "kvm", driver: "libvirt" },
  );
export function rowOf(record: Record_): ImportedRow {
  const { rows, rejected } = read(record);
  expect(rejected).toEqual([]);
  const [row] = rows;
  if (row === undefined) throw new Error("no row");
  return row;
}
export const reasonOf = (record: Record_): string | undefined => read(record).rejected[0]?.reason;

export const own = (rest: Record_ = {}): Record_ => ({
  mechanism: "pre-copy",
  totalMs: 12_500,
  memoryBytes: 8 * GIB,
  ...rest,
});

type LabParts = { spec?: Record_; pre?: Record_; result?: Record_ };
export const lab = ({ spec, pre, result, ...top }: LabParts & Record_ = {}): Record_ => ({
  id: "x1",
  ok: true,
  link_mbit: 0,
  disturbed: false,
  converged: true,
  spec: {
    ram_mib: 512,
    smp: 2,
    mech: "precopy",
    bw_mibps: 64,
    postcopy_bw_mibps: null,
    downtime_limit_ms: 200,
    xbzrle_cache_mib: 64,
    multifd_channels: 4,
    multifd_comp: "none",
    compress_threads: 3,
    cap_s: 30,
    // The guest's workload: never read.
    fill_mib: 250,
    content: "random",
    ws_mib: 100,
    rate: 5000,
    hot_pct: 90,
    hot_set_pct: 10,
    threads: 1,
    seq: 0,
    ...spec,
  },
  pre: {
    dirty_rate_sampling4096_mibps: 9,
    vcpu_util: 0.25,
    nonzero_bytes_sampled: 300_000_000,
    actual_write_rate_pps: 5000,
    guest_ram_rss_bytes: 1,
    ...pre,
  },
  result: {
    total_time_s: 2.5,
    downtime_s: 0.5,
    event_blackout_s: 0.0625,
    ram_transferred_bytes: 320_000_000,
    lost_work_s: 0.5,
    normal_pages: 78_000,
    ...result,
  },
  ...top,
});

export const thesis = (rest: Record_ = {}): Record_ => ({
  scenario: "Precopy_Convergent",
  run: "3",
  status: "completed",
  total_time_ms: "17219",
  downtime_ms: "19",
  setup_ms: "1",
  ram_total: "8607571968",
  transferred: "2345678901",
  dirty_sync_count: "6",
  extra: "",
  ...rest,
});

export const cloud = (rest: Record_ = {}): Record_ => ({
  tunneling: "off",
  storage: "shared-ceph",
  flavor: "small",
  vcpus: "2",
  ram_gb: "4",
  disk_gb: "40",
  iteration: "1",
  vm: "VM6",
  duration_s: "17.25",
  ...rest,
});

export const socc = (rest: Record_ = {}): Record_ => ({
  technique: "PRE",
  TT: "20000",
  DT: "150",
  TD: "2000000000",
  PERF: "0.9",
  CPU: "12",
  MEM: "3",
  total_pages: "524288",
  zero_pages: "24288",
  working_set_pages: "50000",
  pdr: "2500",
  mwpp: "40",
  "max-bandwidth": "117000000",
  SRC_vm_cpu: "85",
  RPTR: "0.1",
  ...rest,
});
