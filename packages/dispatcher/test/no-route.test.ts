import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { EXTENSION, hello, extension, serverName, serverNameList, nameEntry } from "./support/hello-bytes.ts";
import { TestDispatcher } from "./support/dispatcher.ts";
import { closeOf, connectTo } from "./support/raw-target.ts";
import { alertOf } from "./support/tls-target.ts";

let dispatcher: TestDispatcher;

beforeAll(async () => {
  dispatcher = await TestDispatcher.start({
    maxHelloBytes: 4096,
    routes: {
      "bad.example": { kind: "bad", name: "bad.example", problem: "a target is empty" },
      "unknown.example": { kind: "unknown" },
    },
  });
});

afterAll(() => dispatcher.stop());

/** Sends the bytes and returns the alert number (or what else came) and the record. */
async function refusalOf(
  bytes: Buffer,
): Promise<{ alert: number | undefined; how: string; record: unknown }> {
  dispatcher.records.all.length = 0;
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  peer.write(bytes);
  const { bytes: answer, how } = await end;
  return { alert: answer.length === 7 ? answer[6] : undefined, how, record: await dispatcher.records.one() };
}

const named = (name: string): Buffer => hello({ extensions: [serverName(name)] });

test.each([
  {
    title: "no route",
    bytes: named("nobody-here.example"),
    alert: 112,
    message: "refused: no_route nobody-here.example (alert 112)",
  },
  {
    title: "row 6: no server name",
    bytes: hello({ extensions: [] }),
    alert: 112,
    message: "refused: no_sni (alert 112)",
  },
  {
    title: "row 7: an IP literal is no server name",
    bytes: named("192.0.2.7"),
    alert: 112,
    message: "refused: no_sni (alert 112)",
  },
  {
    title: "an unusable route",
    bytes: named("bad.example"),
    alert: 80,
    message: "refused: bad_route bad.example (alert 80): route:bad.example: a target is empty",
  },
  {
    title: "a name that can't be looked up",
    bytes: named("unknown.example"),
    alert: 80,
    message: "refused: store_unavailable unknown.example (alert 80)",
  },
])("$title", async ({ bytes, alert, message }) => {
  const refusal = await refusalOf(bytes);
  const [, reason, hostname] = /^refused: (\w+) (?:([a-z.-]+) )?\(/.exec(message) ?? [];
  expect(refusal).toMatchObject({
    alert,
    how: "closed",
    record: {
      level: "warn",
      event: "connection_refused",
      reason,
      message,
      bytes_in: bytes.length,
      bytes_out: 0,
    },
  });
  expect(refusal.record).toHaveProperty("phase", "route");
  expect((refusal.record as { hostname?: string }).hostname).toBe(hostname);
});

test("row 10: a name with bytes that no name has is refused as such and appears nowhere", async () => {
  const { alert, record } = await refusalOf(hello({ extensions: [serverName("a\n[x] forged.example")] }));
  expect(alert).toBe(50);
  expect(record).toMatchObject({ reason: "bad_name" });
  expect(record).not.toHaveProperty("hostname");
});

test("row 11: a duplicate SNI extension is a malformed hello", async () => {
  const { alert, record } = await refusalOf(
    hello({ extensions: [serverName("a.example"), serverName("b.example")] }),
  );
  expect({ alert, record }).toMatchObject({ alert: 50, record: { reason: "malformed_hello" } });
});

test("row 12: a lying length is a malformed hello", async () => {
  const lying = extension(EXTENSION.serverName, serverNameList(nameEntry("a.example")).subarray(4, -2));
  const { alert, record } = await refusalOf(hello({ extensions: [lying] }));
  expect({ alert, record }).toMatchObject({ alert: 50, record: { reason: "malformed_hello" } });
});

test("row 22: a hello over the bound is refused before it is read", async () => {
  const { alert, record } = await refusalOf(hello({ extensions: [extension(21, Buffer.alloc(5000))] }));
  expect({ alert, record }).toMatchObject({ alert: 50, record: { reason: "hello_too_large" } });
});

test("a peer that still sends reads its alert: the connection lingers instead of resetting", async () => {
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  peer.write(Buffer.concat([hello({ extensions: [serverName("nobody.example")] }), Buffer.alloc(20_000)]));
  for (let i = 0; i < 10; i++) peer.write(Buffer.alloc(2000));
  const { bytes, how } = await end;
  expect({ alert: bytes[6], how }).toEqual({ alert: 112, how: "closed" });
});

test("a peer that never closes, or never stops sending, is cut off", async () => {
  const idle = await connectTo(dispatcher.port);
  idle.write(hello({ extensions: [serverName("nobody.example")] }));
  const flood = await connectTo(dispatcher.port);
  flood.write(hello({ extensions: [serverName("nobody.example")] }));
  for (let i = 0; i < 20; i++) flood.write(Buffer.alloc(16_384));
  await dispatcher.idle();
  expect(dispatcher.listeners.connections.size).toBe(0);
  idle.destroy();
  flood.destroy();
});

test("a real TLS stack names the alerts", async () => {
  expect(await alertOf({ port: dispatcher.port, servername: "nobody.example" })).toMatch(/UNRECOGNIZED_NAME/);
  expect(await alertOf({ port: dispatcher.port, servername: "bad.example" })).toMatch(/INTERNAL_ERROR/);
});
