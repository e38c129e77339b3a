import { createHash } from "node:crypto";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, untilClosed, type Bed, type Front } from "./support/front-bed.ts";

const KEY = `acme:challenge:${HOSTNAME}`;
const KEY_AUTHORIZATION = `${"t".repeat(43)}.${"k".repeat(43)}`;
const PENDING = JSON.stringify({
  type: "tls-alpn-01",
  token: "t".repeat(43),
  key_authorization: KEY_AUTHORIZATION,
});
const HELLO = { ALPNProtocols: ["acme-tls/1"], rejectUnauthorized: false };

let bed: Bed;
let front: Front;

beforeAll(async () => {
  bed = await openBed();
  front = await bed.start();
});
afterAll(() => bed.close());
afterEach(async () => {
  await bed.store.del(KEY);
  await bed.configure();
  await until(() => refusal());
});

/** The alert's word when `acme-tls/1` is refused; undefined when it is answered. */
async function refusal(): Promise<string | undefined> {
  return front.connect(HELLO).then(
    (socket) => {
      socket.destroy();
      return undefined;
    },
    (error: { code: string }) => error.code,
  );
}

/** Makes the challenge pending, as another instance of the hostname does, and waits until this one has heard. */
async function pending(): Promise<void> {
  await bed.store.set(KEY, PENDING);
  await until(async () => (await refusal()) === undefined);
}

describe("acme-tls/1 (RFC 8737)", () => {
  test("is answered from Redis: one name, a critical digest of the key authorization, and no octet of content", async () => {
    await pending();
    const socket = await front.connect(HELLO);
    expect(socket.alpnProtocol).toBe("acme-tls/1");
    const { raw, subjectaltname } = socket.getPeerCertificate();
    expect(subjectaltname).toBe(`DNS:${HOSTNAME}`);
    const digest = createHash("sha256").update(KEY_AUTHORIZATION).digest("hex");
    expect(raw.toString("hex")).toContain(`303106082b0601050507011f0101ff04220420${digest}`);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    expect((await untilClosed(socket)).toString()).toBe("");
    expect(await front.record(({ event }) => event === "challenge_answered")).toMatchObject({
      ip: "192.0.2.7",
      hostname: HOSTNAME,
    });
  });

  test("is refused while nothing is pending, and every other protocol keeps its certificate", async () => {
    expect(await refusal()).toBe("ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
    await pending();
    expect((await front.get("/")).status).toBe(200);
    const both = await front.connect({ ALPNProtocols: ["acme-tls/1", "h2"] });
    expect(both.alpnProtocol).toBe("h2");
    both.destroy();
  });

  test.each([
    ["for another name", { servername: "b.example" }],
    ["without a name", { servername: "" }],
  ])("is refused %s", async (_what, options) => {
    await pending();
    await expect(front.connect({ ...HELLO, ...options })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
  });

  test.each([
    ["an HTTP-01 challenge", PENDING.replace("tls-alpn-01", "http-01")],
    ["no document", "{"],
    ["a token that is none", PENDING.replace("t".repeat(43), "../x")],
  ])("%s is not answered here", async (_what, text) => {
    await pending();
    await bed.store.set(KEY, text);
    await until(() => refusal());
  });
});

describe("a host with allowed_addresses", () => {
  test("lets an authority's check through while one is pending, and nothing else", async () => {
    await bed.configure({ allowed_addresses: ["198.51.100.0/24"] });
    await until(() =>
      front.get("/").then(
        () => false,
        () => true,
      ),
    );
    await pending();
    for (const ALPNProtocols of [["h2"], ["http/1.1"]]) {
      await expect(front.connect({ ALPNProtocols })).rejects.toMatchObject({
        code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
      });
    }
    const silent = await front.connect({});
    silent.write(`GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    if (!silent.closed) await once(silent, "close");
    expect(silent.bytesRead).toBeLessThan(4096); // the handshake; no answer
    const refused = front.records.filter(({ reason }) => reason === "address_not_allowed");
    expect(refused.length).toBeGreaterThan(3);
    expect(
      front.records.filter(({ event, ip }) => event === "request_ended" && ip === "192.0.2.7"),
    ).toHaveLength(bed.upstream.seen.length);
  });
});
