import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { TestDispatcher } from "./support/dispatcher.ts";
import { closeOf, connectTo } from "./support/raw-target.ts";

let dispatcher: TestDispatcher;
beforeAll(async () => {
  dispatcher = await TestDispatcher.start({ routes: {} });
});
afterAll(() => dispatcher.stop());

test("row 15: a browser that speaks plain HTTP reads why it failed", async () => {
  const response = await fetch(`http://127.0.0.1:${dispatcher.port}/mcp`, {
    method: "POST",
    body: "x".repeat(5000),
  });
  expect(response.status).toBe(400);
  expect(await response.text()).toMatch(/https/);
  await expect(dispatcher.records.one()).resolves.toMatchObject({
    event: "connection_refused",
    reason: "not_tls",
    message: "refused: not_tls (status 400): plain HTTP",
  });
});

test.each([
  ["SSH", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")],
  [
    "row 17: a PROXY header from a sender that is not listed",
    Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"),
  ],
])("%s gets no answer", async (_title, bytes) => {
  dispatcher.records.all.length = 0;
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  peer.write(bytes);
  expect((await end).bytes).toHaveLength(0);
  await expect(dispatcher.records.one()).resolves.toMatchObject({ reason: "not_tls", ip: "127.0.0.1" });
});
