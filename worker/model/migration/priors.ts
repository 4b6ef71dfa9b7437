// Every constant that stands in for something not measured, with its reason. Spreads are standard deviations of the natural
// logarithm: 0.1 is about ±10 %, 0.7 about a factor of two. They are wider where the input was absent.
import { GIB } from "../units.ts";

/** QEMU's stream: 8 bytes before every page; a zero page is that and one byte. multifd: 1,344 bytes a packet of 128 pages. */
export const PAGE_HEADER_BYTES = 8;
export const ZERO_PAGE_BYTES = 9;
export const MULTIFD_PAGE_HEADER_BYTES = 10.5;
export const MULTIFD_ZERO_PAGE_BYTES = 8;

/** QEMU spends `max-bandwidth` in slices of this length, each slice's budget at line rate and then waiting. */
export const RATE_SLICE_SECONDS = 0.1;

/** Telling a zero page from another: 5 to 10 GB/s a thread. */
export const ZERO_SCAN_BYTES_PER_SECOND = 8e9;

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
/** Page sampling over one second is off by 19 to 37 % (ln sd) on single guests; a curve averages several windows. */
export const DIRTY_LN_SD = { curve: 0.2, rate: 0.3, absent: 1.2 };
/** Window of a dirty rate given without one: QEMU's `calc-dirty-rate` default. */
export const DIRTY_WINDOW_MS = 1000;
/** Working set not given: this many times what one window dirties. A hot core or a long tail is as common. */
export const WORKING_SET_PER_WINDOW = 4;
export const WORKING_SET_LN_SD = 1;

/**
 * From the command to the first page. Driving QEMU itself: 1 ms where the kernel logs dirty pages. Under TCG every page is
 * taken out of the vCPU's TLB, which is as dear as the TLB is large: 0.22 to 0.6 s a GiB were measured for guests that switch
 * between processes (up to 1.4 s for one that never does, whose TLB has only grown since it booted). Bounded, since nobody
 * emulates large guests. libvirt adds its handshake of both sides, one to three seconds. Simulated hosts stand for hosts with
 * KVM.
 */
export const SETUP = {
  qmp: { baseMs: 15, msPerGib: 240, msMax: 500, lnSd: 0.5 },
  simulated: { baseMs: 20, msPerGib: 3, msMax: 500, lnSd: 0.5 },
  libvirt: { baseMs: 1500, msPerGib: 0, msMax: 1500, lnSd: 0.6 },
};

/**
 * Whether the hypervisor opens the dirty log anew only where the scan has come (KVM's manual dirty-log protection, in GiB
 * chunks): what is dirtied ahead of the scan is sent in the same pass and not counted again. KVM does, and libvirt hosts have
 * it; TCG does not. QEMU driven directly can be either: taken not to, as for the setup, which errs on the side of more bytes.
 */
export const SKIPS_AHEAD_OF_SCAN = { qmp: false, simulated: true, libvirt: true };
export const LOG_CHUNK_BYTES = GIB;

/**
 * Stop, last dirty-bitmap sync, device state, loading it, without the memory sent: 2 to 20 ms on QEMU; on Xen and ESXi tens of
 * milliseconds at least.
 */
export const SWITCHOVER = {
  kvm: { ms: 5, lnSd: 0.6 },
  xen: { ms: 60, lnSd: 0.8 },
  vmware: { ms: 150, lnSd: 0.8 },
};
/** Post-copy loads the device state from a package that is sent whole before: 9 to 13 ms in all were measured. */
export const POST_COPY_START_MS = 5;
/**
 * What lies between "loaded" and "runs" besides: the agents' proof that the source has stopped, and `cont`. From QEMU's own
 * downtime to the guest running it took 6 to 27 ms with the agents (once 59), 1 to 5 ms where QEMU resumed by itself. Taken to
 * be as long between libvirt's daemons. Simulated hosts may have a clock that runs ten times as fast as their agents.
 */
export const HANDOVER = {
  qmp: { ms: 8, lnSd: 0.8 },
  simulated: { ms: 8, lnSd: 1 },
  libvirt: { ms: 8, lnSd: 0.8 },
};
/**
 * The last burst is so short that socket buffers speed it up and whoever else wants the cores slows it down: 0.6 to 1.75 GB/s
 * were measured where 1 GB/s was expected. The spread is that of the time at one stream's rate.
 */
export const BURST_LN_SD = 0.6;
/**
 * More for a page in it that was never sent before: the destination has no memory there yet and makes some, often 2 MiB for
 * one page. 0.2 to 6 ms a MiB were measured on nested virtualisation, where a page fault is dear; taken as a tenth on bare metal.
 */
export const FIRST_TOUCH = { msPerMib: { qmp: 1, simulated: 0.05, libvirt: 0.12 }, lnSd: 1 };
/**
 * Hybrid: the destination drops the pages that were dirtied after they had been sent, range by range: a page of its own each
 * is 0.1 ms a MiB and more, a few large ranges nearly nothing.
 */
export const DISCARD = { msPerMib: 0.03, lnSd: 1 };

/** Share of the dirtied missing pages that really fault when the push restarts at each fault (Hines and Gopalan, VEE 2009). */
export const FAULT_RATIO = 0.21;
/**
 * One fault, round trip and page excluded: 0.15 to 0.25 ms on quiet links, 0.7 ms and more where it queues behind background
 * pages, as it does without `postcopy-preempt`.
 */
export const FAULT_MS = { preempt: 0.25, queued: 0.4 };
export const FAULT_LN_SD = 1;

/** Slow-down of a guest whose dirty pages are logged: 0 to 6 % of a write-heavy database's throughput. */
export const BROWNOUT_RATIO = 0.03;
export const BROWNOUT_LN_SD = 0.7;

/** CPU share of a guest that nobody measured, of its vCPUs. */
export const CPU_RATIO = 0.25;
export const VCPUS = 1;

/** Raw / encoded of ordinary guest memory under zlib or zstd at level 1. */
export const COMPRESSION_RATIO = 2;

/**
 * Both hosts, J = slope × MB + offset (Liu et al., HPDC 2011). Hosts of that age: newer ones need less; the spread is wide.
 */
export const ENERGY = { joulesPerMegabyte: 0.512, joulesFixed: 20.165, lnSd: 0.7 };
