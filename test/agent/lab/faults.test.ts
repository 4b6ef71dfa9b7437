// What the fault cases rest on: a proxy that does what it says, and an observer that sees a guest lost or doubled.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { whereItCounts } from "../../../scripts/lab/faults/guests.ts";
import { startProxy, type Proxy } from "../../../scripts/lab/faults/proxy.ts";
import { chosenCases, faultCases, lanesFor } from "../../../scripts/lab/faults/run.ts";
import type { Beat } from "../../../scripts/lab/serial.ts";

const beat = (counter: number): Beat => ({ counter, guestMs: 0, damagedPages: 0, atMs: 0 });

/** A line that counts on at every look, as a guest does that runs. */
function counting(each: number): { beats: Beat[] } {
  const beats: Beat[] = [];
  return {
    get beats() {
      for (let n = 0; n < each; n++) beats.push(beat(beats.length));
      return beats;
    },
  };
}

test.each([
  ["source", counting(60), { beats: [] }],
  ["destination", { beats: [beat(0)] }, counting(60)],
  ["both", counting(10), counting(10)],
  ["nowhere", { beats: [beat(0)] }, { beats: [beat(1)] }],
] as const)("a guest is seen to live at: %s", async (place, source, destination) => {
  expect(await whereItCounts(source, destination, 0)).toBe(place);
});

test("every case has a name of its own and a lane, and one that there is not is told with those that there are", () => {
  expect(new Set(faultCases.map(({ name }) => name)).size).toBe(faultCases.length);
  expect(lanesFor(faultCases).flatMap(({ hostIds }) => hostIds)).toHaveLength(8);
  expect(lanesFor(chosenCases([], ["qmp"])).flatMap(({ hostIds }) => hostIds)).toHaveLength(6);
  expect(chosenCases(["forged"]).map(({ name }) => name)).toEqual(["forged"]);
  expect(() => chosenCases(["forged", "flood"])).toThrow(/no case flood; there are .*forged/);
});

describe("the proxy", () => {
  let server: Server;
  let proxy: Proxy;
  let asked: string[];

  beforeEach(async () => {
    asked = [];
    server = createServer((socket) =>
      socket
        .on("error", () => undefined)
        .on("data", (question) => {
          asked.push(question.toString());
          socket.write(`answer to ${question}`);
        }),
    ).listen(0, "127.0.0.1");
    await once(server, "listening");
    proxy = await startProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });

  afterEach(async () => {
    await proxy.close();
    server.close();
  });

  /** Asks, and gives back what came until the first answer or the end of the connection. */
  async function ask(question: string): Promise<string> {
    const socket: Socket = connect(Number(new URL(proxy.url).port), "127.0.0.1");
    socket.on("error", () => undefined).write(question);
    const answer = new Promise<string>((resolve) => {
      socket.once("data", (piece) => resolve(piece.toString()));
      socket.once("close", () => resolve("cut"));
    });
    return answer.finally(() => socket.destroy());
  }

  test("lets everything pass, and tells of it, while nothing is to be harmed", async () => {
    const heard: string[] = [];
    const listening = proxy.listen((answer) => void heard.push(answer));
    expect(await ask("one")).toBe("answer to one");
    listening.off();
    expect(await ask("two")).toBe("answer to two");
    expect(heard).toEqual(["answer to one"]);
    expect(proxy.counts()).toEqual({ delayed: 0, dropped: 0, cut: 0 });
  });

  test("drops answers to questions that were asked, and cuts the connection in the end", async () => {
    proxy.set({ delayMsMax: 0, lifeMsMax: 200, dropRatio: 1, random: () => 0.5 });
    expect(await ask("one")).toBe("cut");
    expect(asked).toEqual(["one"]);
    expect(proxy.counts()).toEqual({ delayed: 0, dropped: 1, cut: 1 });
  });

  test("delays what it does not drop", async () => {
    proxy.set({ delayMsMax: 20, lifeMsMax: 60_000, dropRatio: 0, random: () => 0.5 });
    expect(await ask("one")).toBe("answer to one");
    expect(proxy.counts()).toEqual({ delayed: 1, dropped: 0, cut: 0 });
  });
});
