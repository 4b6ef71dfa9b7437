// One receiver for all tests of a project; they get its address by `inject`.
import type { TestProject } from "vitest/node";
import { startReceiver } from "./receiver.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const receiver = await startReceiver();
  project.provide("receiverUrl", receiver.url);
  return receiver.close;
}

declare module "vitest" {
  interface ProvidedContext {
    receiverUrl: string;
  }
}
