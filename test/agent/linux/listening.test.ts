import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { freePortOf } from "../../../scripts/agent/linux/listening.ts";

test("the first free port is found, and why none is", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  try {
    expect(await freePortOf("127.0.0.1", [port])).toEqual({ why: expect.stringContaining("EADDRINUSE") });
    expect(await freePortOf("127.0.0.1", [port, 0])).toEqual({ port: 0 });
    expect(await freePortOf("192.0.2.1", [0])).toEqual({ why: expect.stringContaining("EADDRNOTAVAIL") });
    expect(await freePortOf(undefined, [])).toEqual({ why: "there is none to try" });
  } finally {
    taken.close();
  }
});
