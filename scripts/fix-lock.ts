// Adds the lockfile entries of platform-specific optional packages that the registry in use does not carry, so that
// `npm ci` accepts the lockfile everywhere. Run after every change of a dependency: `npm run lock:fix`.
// Such entries have a version and no integrity hash; they are only read on platforms other than linux-x64.
import { readFileSync, writeFileSync } from "node:fs";

type Entry = {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
};

const PLATFORMS = [
  "android",
  "darwin",
  "freebsd",
  "win32",
  "openharmony",
  "aix",
  "netbsd",
  "openbsd",
  "sunos",
  "linux",
];
const CPUS = ["arm64", "arm", "ppc64", "s390x", "riscv64", "loong64", "mips64el", "ia32", "x64", "wasm32"];

function platformOf(name: string): string | undefined {
  return name.includes("windows") ? "win32" : PLATFORMS.find((os) => name.includes(os));
}

function cpuOf(name: string): string | undefined {
  if (name.includes("aarch64")) return "arm64";
  return CPUS.find((cpu) => name.includes(cpu)) ?? (name.endsWith("-64") ? "x64" : undefined);
}

function isPresent(packages: Record<string, Entry>, from: string, name: string, version: string): boolean {
  let base = from;
  for (;;) {
    const found = packages[`${base ? `${base}/` : ""}node_modules/${name}`];
    if (found) return found.version === version;
    if (!base) return false;
    base = base.slice(0, base.lastIndexOf("node_modules/")).replace(/\/$/, "");
  }
}

const path = process.argv[2] ?? "package-lock.json";
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> };
const packages = lock.packages;
let added = 0;
for (const [location, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!/^\d/.test(version) || isPresent(packages, location, name, version)) continue;
    const os = platformOf(name);
    const cpu = cpuOf(name);
    const missing: Entry = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...(cpu ? { cpu: [cpu] } : {}),
      ...(os ? { os: [os] } : {}),
      ...(name.includes("musl") ? { libc: ["musl"] } : {}),
    };
    const top = `node_modules/${name}`;
    packages[packages[top] ? `${location.slice(0, location.lastIndexOf("node_modules/"))}${top}` : top] = missing;
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} entries added to ${path}`);
