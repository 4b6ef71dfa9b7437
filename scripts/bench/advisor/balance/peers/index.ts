// Every peer, with the settings that it ships with and, where these move nothing in most clusters, with those that move most.
import { cloudstack, cloudstackEager, cloudstackEagerCpu } from "./cloudstack.ts";
import { pveBruteforce, pveBruteforceEager, pveTopsis, pveTopsisEager } from "./pve.ts";
import { watcher, watcherFullSearch } from "./watcher.ts";
import { xenOrchestra, xenOrchestraPreventive } from "./xen-orchestra.ts";

export const peers = [
  watcher,
  watcherFullSearch,
  pveBruteforce,
  pveBruteforceEager,
  pveTopsis,
  pveTopsisEager,
  cloudstack,
  cloudstackEager,
  cloudstackEagerCpu,
  xenOrchestra,
  xenOrchestraPreventive,
] as const;
