// The whole user space of a lab guest: a memory workload that can be checked from outside.
// Kernel command line (defaults in brackets):
//   drover.fill=<MiB touched> [64]  drover.nonzero=<percent of those pages with content> [100]
//   drover.set=<MiB of working set, at the start of the filled memory> [16]  drover.rate=<page writes a second> [0]
//   drover.tick=<ms between counter lines> [10]
// Serial line: "READY", "FILLED", then for ever "H <counter> <monotonic ns> <damaged pages>". The counter never stops
// rising and never repeats while one guest lives once; damaged pages are static pages that lost their content.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define WORDS (PAGE / 8)
#define CHECKS_PER_TICK 8

static int tty;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

// SplitMix64: every page's content follows from its number alone, so that any page can be checked at any time.
static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

static void say(const char *text, size_t length) {
  while (length > 0) {
    ssize_t n = write(tty, text, length);
    if (n <= 0) { usleep(1000); continue; }
    text += n;
    length -= (size_t)n;
  }
}

static long parameter(const char *line, const char *name, long fallback) {
  const char *at = strstr(line, name);
  return at ? strtol(at + strlen(name), NULL, 10) : fallback;
}

static int has_content(uint64_t page, long percent) { return mix(page ^ 0xd0d0) % 100 < (uint64_t)percent; }

static void fill(uint64_t *memory, uint64_t pages, long percent) {
  for (uint64_t p = 0; p < pages; p++) {
    uint64_t *words = memory + p * WORDS;
    if (!has_content(p, percent)) { memset(words, 0, PAGE); continue; }
    for (uint64_t w = 0; w < WORDS; w++) words[w] = mix(p * WORDS + w) | 1;
  }
}

static int damaged(const uint64_t *memory, uint64_t page, long percent) {
  uint64_t word = mix(page + now_ns()) % WORDS;
  uint64_t expected = has_content(page, percent) ? (mix(page * WORDS + word) | 1) : 0;
  return memory[page * WORDS + word] != expected;
}

static void open_serial(void) {
  struct termios t;
  mkdir("/dev", 0755);
  mknod("/dev/ttyS0", S_IFCHR | 0600, makedev(4, 64));
  tty = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
  tcgetattr(tty, &t);
  cfmakeraw(&t);
  cfsetspeed(&t, B115200);
  tcsetattr(tty, TCSANOW, &t);
}

int main(void) {
  static char line[4096];
  open_serial();
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  int file = open("/proc/cmdline", O_RDONLY);
  if (file >= 0 && read(file, line, sizeof line - 1) < 0) line[0] = 0;
  long fill_mib = parameter(line, "drover.fill=", 64), percent = parameter(line, "drover.nonzero=", 100);
  long set_mib = parameter(line, "drover.set=", 16), rate = parameter(line, "drover.rate=", 0);
  long tick_ms = parameter(line, "drover.tick=", 10);
  if (set_mib < 1) set_mib = 1;
  if (fill_mib < set_mib) fill_mib = set_mib;
  say("READY\n", 6);
  // A guest that never switches processes lets TCG's TLB grow until starting the dirty log takes a second a GiB.
  if (fork() == 0)
    for (;;) usleep(20000);

  uint64_t pages = ((uint64_t)fill_mib << 20) / PAGE, set = ((uint64_t)set_mib << 20) / PAGE;
  uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    say("NOMEM\n", 6);
    for (;;) pause();
  }
  fill(memory, pages, percent);
  say("FILLED\n", 7);

  uint64_t writes = 0, checks = 0, bad = 0, start = now_ns(), due = start;
  for (uint64_t counter = 0;; counter++) {
    char text[96];
    uint64_t now = now_ns(), wanted = (now - start) / 1000 * (uint64_t)rate / 1000000;
    // After a stall the debt is dropped, as a real guest's clients would have timed out: at most a quarter second of writes at once.
    if (wanted > writes + (uint64_t)rate / 4) writes = wanted - (uint64_t)rate / 4;
    for (; writes < wanted; writes++) memory[(mix(writes ^ now) % set) * WORDS + writes % WORDS] = writes | 1;
    for (int i = 0; i < CHECKS_PER_TICK && pages > set; i++, checks++)
      bad += (uint64_t)damaged(memory, set + mix(checks) % (pages - set), percent);
    int length = snprintf(text, sizeof text, "H %llu %llu %llu\n", (unsigned long long)counter,
                          (unsigned long long)now_ns(), (unsigned long long)bad);
    say(text, (size_t)length);
    due += (uint64_t)tick_ms * 1000000ULL;
    if (now_ns() > due) due = now_ns();
    struct timespec until = {(time_t)(due / 1000000000ULL), (long)(due % 1000000000ULL)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
}
