// Every constant that stands in for something not measured, with its reason. Spreads are standard deviations of the natural
// logarithm: 0.1 is about ±10 %, 0.7 about a factor of two. They are wider where the input was absent.
import { GIB, MIB } from "../units.ts";

/** QEMU's stream: 8 bytes before every page; a zero page is that and one byte. multifd: 1,344 bytes a packet of 128 pages. */
export const PAGE_HEADER_BYTES = 8;
export const ZERO_PAGE_BYTES = 9;
export const MULTIFD_PAGE_HEADER_BYTES = 10.5;
export const MULTIFD_ZERO_PAGE_BYTES = 8;

/** QEMU spends `max-bandwidth` in slices of this length, each slice's budget at line rate and then waiting. */
export const RATE_SLICE_SECONDS = 0.1;

/** With `auto-converge`, what was dirtied is asked for this often, whatever is left of the round; not in the first. */
export const THROTTLE_SYNC_MS = 5000;

/**
 * Telling a zero page from another. Memory that was never touched is one and the same page, which stays in the cache: 6.7 GB of
 * it took a post-copy at line rate 0.2 s at most (qemu-thesis).
 */
export const ZERO_SCAN_BYTES_PER_SECOND = 3e10;

/** What one QEMU stream carries on one core's memory copies (1.0 to 1.25 GB/s seen); multifd channels add up. */
export const STREAM_BYTES_PER_SECOND = 1.15e9;

/** Link not given: 10 GbE at MTU 1500, 94.15 % payload. A factor of ten either way is possible. */
export const LINK_BYTES_PER_SECOND = 1.177e9;
export const LINK_LN_SD = { given: 0.06, absent: 0.8 };
/** Round trip within a rack. */
export const RTT_MS = 0.2;

/** Non-zero memory is usually learned by sampling this many pages; its binomial error is the spread of a given figure. */
export const NONZERO_SAMPLED_PAGES = 512;
/** What the guest allocates and frees between the sample and the migration. */
export const NONZERO_LN_SD = { drift: 0.03, absent: 0.5 };

/**
 * Dirtying not given: 1 % of the non-zero bytes in a window of 1 s. A database guest under pure updates dirtied 19 MiB/s of
 * 1.8 GiB; idle guests dirty a hundredth of it.
 */
export const DIRTY_RATIO = 0.01;
/**
 * Page sampling over one second is off by 19 to 37 % (ln sd) on single guests. The windows of a curve are sampled one by one,
 * so that its error falls with the root of their number, but not below what the guest itself changes.
 */
export const DIRTY_LN_SD = { rate: 0.3, curveLeast: 0.08, absent: 1.2 };
/** Window of a dirty rate given without one: QEMU's `calc-dirty-rate` default. */
export const DIRTY_WINDOW_MS = 1000;
/** What a core that never rests writes: half of the memory bandwidth that one core has on ordinary servers, and less. */
export const SWEEP_BYTES_PER_SECOND = 1e9;

/**
 * How much of the end of memory is not zero: the kernel's own tables lie there, a small share of the memory, and below them
 * what is free. Measured on Linux guests.
 */
export const TAIL_RATIO = 0.035;

/** What the priors below depend on: how the guest's code runs, or that it is only simulated. */
export type Platform = "accelerated" | "emulated" | "simulated";

/**
 * From the command to the first page, by QEMU itself: milliseconds where the kernel logs dirty pages. Under TCG every page is
 * taken out of the vCPU's TLB, which is as dear as the TLB is large: 0.22 to 0.6 s a GiB were measured for guests that switch
 * between processes (up to 1.4 s for one that never does, whose TLB has only grown since it booted). Bounded, since nobody
 * emulates large guests.
 */
export const SETUP: Record<Platform, { baseMs: number; msPerGib: number; msMax: number }> = {
  accelerated: { baseMs: 10, msPerGib: 3, msMax: 5000 },
  emulated: { baseMs: 15, msPerGib: 240, msMax: 500 },
  simulated: { baseMs: 20, msPerGib: 3, msMax: 500 },
};
export const SETUP_LN_SD = 0.4;
/** libvirt's handshake of both sides before QEMU is told: one to three seconds. */
export const LIBVIRT_SETUP_MS = 1500;

/**
 * Whether the hypervisor opens the dirty log anew only where the scan has come (KVM's manual dirty-log protection, in GiB
 * chunks): what is dirtied ahead of the scan is sent in the same pass and not counted again. KVM does; TCG does not.
 */
export const SKIPS_AHEAD_OF_SCAN: Record<Platform, boolean> = { accelerated: true, emulated: false, simulated: true };
export const LOG_CHUNK_BYTES = GIB;

/**
 * How fast a destination takes pages that it has no memory for yet, a channel. 340 to 360 MB/s on nested virtualisation, where
 * a page fault is dear; elsewhere faults are not what limits one stream.
 */
export const FRESH_BYTES_PER_SECOND: Record<Platform, number> = {
  accelerated: 1.15e9,
  emulated: 3.5e8,
  simulated: 1.15e9,
};
export const FRESH_LN_SD = 0.15;

/**
 * Stop, last dirty-bitmap sync, device state, loading it, without the memory sent: 3 to 5 ms on QEMU, up to 20; on Xen
 * tens to hundreds of milliseconds; on ESXi 0.2 to 1 s with the memory left.
 */
export const SWITCHOVER = {
  kvm: { ms: 5, lnSd: 0.6 },
  xen: { ms: 60, lnSd: 0.8 },
  vmware: { ms: 250, lnSd: 0.4 },
};
/** Post-copy loads the device state from a package that is sent whole before: 9 to 13 ms in all were measured. */
export const POST_COPY_START_MS = 5;
/**
 * What lies between "loaded" and "runs" where agents continue the VM: their proof that the source has stopped, and `cont`. From
 * QEMU's own downtime to the guest running it took 6 to 27 ms with the agents (once 59); about as long between libvirt's
 * daemons. Simulated hosts may have a clock that runs ten times as fast as their agents: 5 to 75 ms of theirs were seen.
 */
export const HANDOVER = { real: { ms: 8, lnSd: 0.8 }, simulated: { ms: 20, lnSd: 1 } };
/**
 * The last burst goes out of cache into memory that is there, faster than a long stream; it is so short that whoever else
 * wants the cores slows it down: 0.6 to 1.75 GB/s on two emulating cores, 3 GB/s on KVM. The spread is that of the time at this rate.
 */
export const BURST_BYTES_PER_SECOND: Record<Platform, number> = {
  accelerated: 2.5e9,
  emulated: 1.5e9,
  simulated: 1.5e9,
};
export const BURST_LN_SD = 0.55;
/**
 * More for a page in it that was never sent before: the destination has no memory there yet and makes some, often 2 MiB for
 * one page. 0.2 to 6 ms a MiB were measured on nested virtualisation, where a page fault is dear; taken as a tenth on bare metal.
 */
export const FIRST_TOUCH: { msPerMib: Record<Platform, number>; lnSd: number } = {
  msPerMib: { accelerated: 0.12, emulated: 1, simulated: 0.05 },
  lnSd: 1,
};
/**
 * Hybrid: the destination drops the pages that were dirtied after they had been sent, range by range, with a page of its own in
 * most: 0.03 to 0.2 ms a MiB were measured on nested virtualisation, 0.06 with KVM (qemu-thesis, 1 GiB); a few large ranges
 * cost nearly nothing.
 */
export const DISCARD: { msPerMib: Record<Platform, number>; lnSd: number } = {
  msPerMib: { accelerated: 0.06, emulated: 0.13, simulated: 0.03 },
  lnSd: 1,
};

/**
 * One fault, round trip, page and queue excluded: 0.15 to 0.25 ms on quiet links; 1 ms was measured on emulated guests with
 * `postcopy-preempt`.
 */
export const FAULT_MS = 0.25;
/**
 * Background pages in socket buffers and queues that a fault's page waits behind: 2.3 to 3.6 MB from 250 Mbit/s to loopback
 * (12 ms a fault on 2 Gbit/s, 54 on 500 Mbit/s), 10.7 ms on a busy 10 GbE (QEMU's own figure for no `postcopy-preempt`). A sender
 * that is itself what limits the rate leaves them empty: 0.2 ms in all was measured then.
 */
export const PUSH_QUEUE = { bytes: 3e6, fullBelowRatio: 0.9 };
export const FAULT_LN_SD = 1;

/**
 * Pre-paging: of the pages that the guest does not use, the share that goes over before the last one that it does; the push
 * goes on from each fault, to its neighbours. Network faults were within 21 % of the working set (Hines and Gopalan, VEE 2009).
 */
export const PRE_PAGING_ASTRAY_RATIO = 0.21;
/**
 * What every guest uses as soon as it runs and hardly ever dirties: kernel, page tables, programs. Guests of 256 and 512 MiB
 * stood still until 50 to 75 MiB more than they write to had come.
 */
export const GUEST_BASE_BYTES = 64 * MIB;
/** What a guest uses is what it touches in so much time of its own. */
export const WORKING_SET_WINDOW_MS = 10_000;
/** Budgets of `max-postcopy-bandwidth` that go at once: that of the slice in which the VM is stopped, and one anew. */
export const FIRST_BUDGETS = 2;
/** Post-copy's end: zero pages are left in front of the scan in this proportion to those of all the memory. */
export const ZERO_PAGES_LEFT_RATIO = 0.5;
/** Requests and timers of a standstill that a guest works off afterwards, if it is not busy: the measured guests' 0.25 s. */
export const CATCH_UP_SECONDS = 0.25;

/**
 * xbzrle: share of the pages found in the cache that differ little enough to be sent as a delta, and the length of one, its
 * header included, against the page; one thread compares 0.9 GB/s. Counters and lists change a few words a page; whole pages rewritten are sent raw.
 */
export const DELTA = { hitRatio: 0.8, lengthRatio: 0.02, encodeBytesPerSecond: 9e8 };
export const XBZRLE_CACHE_BYTES = 64 * MIB;

/**
 * Raw bytes a second that one sender thread compresses at level 1: QEMU's QATzip page (zstd, eight channels of 330 MB/s);
 * zlib a fifth of that; QEMU's own `compress` threads 14,000 pages/s for two.
 */
export const COMPRESS_BYTES_PER_SECOND = { zstd: 3.3e8, zlib: 6e7, threads: 2.9e7 };

/** Slow-down of a guest whose dirty pages are logged: 0 to 6 % of a write-heavy database's throughput. */
export const BROWNOUT_RATIO = 0.03;
export const BROWNOUT_LN_SD = 0.7;

/** CPU share of a guest that nobody measured, of its vCPUs. */
export const CPU_RATIO = 0.25;
export const VCPUS = 1;

/** Raw / encoded of ordinary guest memory under zlib or zstd at level 1. */
export const COMPRESSION_RATIO = 2;

/**
 * A disk's mirror reads, sends and writes no faster: 0.35 to 0.4 GB/s of allocated blocks on OpenStack over 10 GbE; solid-state
 * disks of today do more.
 */
export const MIRROR = { bytesPerSecond: 3.8e8, lnSd: 0.4 };
/** Distinct bytes that a guest writes to a disk whose writes nobody measured. */
export const DISK_DIRTY = { bytesPerSecond: 1e6, lnSd: { given: 0.3, absent: 1.2 } };
/** How much less than all of a disk may be allocated where nobody says. */
export const DISK_ALLOCATED_LN_SD = 0.5;

/**
 * Both hosts, J = slope × MB + offset (Liu et al., HPDC 2011). Hosts of that age: newer ones need less; the spread is wide.
 */
export const ENERGY = {
  joulesPerMegabyte: 0.512,
  joulesFixed: 20.165,
  lnSd: { traffic: 0.7, power: 0.4 },
  hostCores: 32,
  hostCpuRatio: 0.4,
};
/**
 * Cores that sending and receiving keep busy at that rate, and what decompressing takes against compressing: QEMU's QATzip page
 * (45 and 85 % at 10.85 Gbit/s; zstd 810 and 340 %).
 */
export const MIGRATION_CPU = { sendCores: 0.45, receiveCores: 0.85, bytesPerSecond: 1.356e9, decompressRatio: 0.42 };
