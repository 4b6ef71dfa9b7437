import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { request } from "../../scripts/agent/request.ts";

async function serve(listener: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

test("a redirect is an answer: what is sent goes nowhere else", async () => {
  const paths: unknown[] = [];
  const { url } = await serve(({ url: path }, response) => {
    paths.push(path);
    response.writeHead(307, { location: "/elsewhere" }).end();
  });
  const headers = { authorization: "Bearer drv_secret" };
  expect(await request(`${url}/here`, { headers, timeoutMs: 5000 })).toMatchObject({ status: 307, text: "" });
  expect(paths).toEqual(["/here"]);
});

test.each([
  ["nothing", () => undefined],
  ["an answer that does not end", (_: unknown, response: { write: (text: string) => void }) => response.write("…")],
] as [string, RequestListener][])("%s has an end", async (_name, listener) => {
  const { url } = await serve(listener);
  await expect(request(url, { timeoutMs: 50 })).rejects.toThrow(/in time|aborted/);
});

test("whoever gives up ends it", async () => {
  const { url } = await serve(() => undefined);
  const gaveUp = new AbortController();
  const asked = request(url, { timeoutMs: 60_000, signal: gaveUp.signal });
  gaveUp.abort();
  await expect(asked).rejects.toThrow(/aborted/);
});

test("a kept connection that the other side has cut meanwhile is asked over again, once", async () => {
  const bodies: string[] = [];
  const used = new Set<Socket>();
  const { url } = await serve((asked, response) => {
    // The second request on a connection finds nobody there.
    if (used.has(asked.socket)) return void asked.socket.resetAndDestroy();
    used.add(asked.socket);
    asked.on("data", (data) => bodies.push(String(data)));
    asked.on("end", () => response.end("taken"));
  });
  const send = (body: string) => request(url, { method: "POST", body, timeoutMs: 5000 });
  expect([(await send("one")).text, (await send("two")).text]).toEqual(["taken", "taken"]);
  expect(bodies).toEqual(["one", "two"]);
});
