import { writeSync } from "node:fs";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { writeProxyHeader } from "@gatehouse/shared/proxy-header";
import type { Hostname } from "@gatehouse/shared/hostname";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { sessionTicketKeys, ticketDay } from "../src/session-ticket-keys.ts";
import { until } from "@gatehouse/testbed/until";
import {
  ask,
  HEADER,
  HOSTNAME,
  openBed,
  PEER,
  statusOf,
  untilClosed,
  wholeAnswer,
  type Bed,
  type Front,
} from "./support/front-bed.ts";

let bed: Bed;
let front: Front;

beforeAll(async () => {
  bed = await openBed();
  front = await bed.start({ GATEHOUSE_TLS_HANDSHAKE_TIMEOUT_MS: "400" });
});
afterAll(() => bed.close());

const REQUEST = `GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`;

describe("protocols", () => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)("%s is spoken", async (version) => {
    const socket = await front.connect({ minVersion: version, maxVersion: version });
    expect(socket.getProtocol()).toBe(version);
    socket.write(REQUEST);
    expect(statusOf(await wholeAnswer(socket))).toBe(200);
    socket.destroy();
  });

  test("TLS 1.1 is refused and recorded", async () => {
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    await expect(front.connect(old)).rejects.toThrow(/alert|version/i);
    const record = await front.record(({ reason }) => reason === "unsupported_protocol");
    expect(record).toMatchObject({
      event: "tls_failed",
      ip: "192.0.2.7",
      conn: expect.stringMatching(/^c-/),
    });
  });

  test("ALPN: h2 before http/1.1, either alone, none is HTTP/1.1", async () => {
    for (const [offer, chosen] of [
      [["http/1.1", "h2"], "h2"],
      [["http/1.1"], "http/1.1"],
      [["h2"], "h2"],
      [undefined, false],
    ] as const) {
      const socket = await front.connect(offer ? { ALPNProtocols: [...offer] } : {});
      expect(socket.alpnProtocol).toBe(chosen);
      socket.destroy();
    }
    expect((await front.get("/none")).status).toBe(200);
  });

  test("no common protocol: the alert says so (RFC 7301 section 3.2)", async () => {
    await expect(front.connect({ ALPNProtocols: ["spdy/3"] })).rejects.toMatchObject({
      code: expect.stringContaining("NO_APPLICATION_PROTOCOL"),
    });
    await front.record(({ reason }) => reason === "no_application_protocol");
  });
});

describe("handshakes that fail", () => {
  test("one that stalls is cut at its deadline", async () => {
    const socket = await front.open();
    socket.write(Buffer.concat([HEADER, Buffer.from("160301020001", "hex")]));
    await untilClosed(socket);
    await front.record(({ reason }) => reason === "handshake_timeout");
  });

  test("plain HTTP behind the PROXY header is no handshake", async () => {
    const socket = await front.open();
    socket.write(Buffer.concat([HEADER, Buffer.from(REQUEST)]));
    await untilClosed(socket);
    await front.record(({ reason }) => reason === "http_request");
  });

  test("a peer that refuses the certificate is told apart", async () => {
    const socket = await front.open();
    socket.write(HEADER);
    const secured = connectTls({ socket, servername: HOSTNAME });
    await once(secured, "error");
    await front.record(
      ({ event, reason }) => event === "tls_failed" && reason !== undefined && /peer|alert/.test(reason),
    );
  });

  test("a peer can't make us renegotiate, and its attempt does not become a second connection", async () => {
    const socket = await front.connect({ maxVersion: "TLSv1.2" });
    const before = await connections();
    const failed = once(socket, "error");
    socket.renegotiate({}, () => undefined);
    expect(String((await failed.catch((error: unknown) => [error]))[0])).toMatch(
      /no_renegotiation|NO_RENEGOTIATION|renegotiation/i,
    );
    expect(await connections()).toBeLessThanOrEqual(before);
    socket.destroy();
  });
});

test("of many handshakes at once each keeps its own peer", async () => {
  const ips = Array.from({ length: 60 }, (_, i) => `192.0.2.${i + 1}`);
  const seen = await Promise.all(
    ips.map(async (ip, i) => {
      const addresses = { ...PEER, source: { ip, port: 1 } };
      // Some fail, some are slow to start: every order of callbacks.
      if (i % 7 === 0) await expect(front.connect({ ALPNProtocols: ["spdy/3"] })).rejects.toThrow(/alert/i);
      const header = writeProxyHeader(i % 2 === 0 ? "v1" : "v2", { addresses, hops: 0 });
      await front.get(`/peer/${ip}`, { header });
      return bed.upstream.seen.find(({ url }) => url === `/peer/${ip}`)?.headers["x-forwarded-for"];
    }),
  );
  expect(seen).toEqual(ips);
});

describe("SNI (RFC 6066 section 3, RFC 9110 section 15.5.20)", () => {
  test("a handshake for another name completes with this host's certificate, and every request is misdirected", async () => {
    const other = { servername: "b.example", checkServerIdentity: () => undefined };
    const socket = await front.connect({ ...other, ALPNProtocols: ["http/1.1"] });
    expect(socket.getPeerCertificate().subjectaltname).toBe(`DNS:${HOSTNAME}`);
    for (const host of [HOSTNAME, "b.example"]) {
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(statusOf(await wholeAnswer(socket))).toBe(421);
    }
    socket.destroy();
    const session = await front.http2(other);
    expect((await ask(session, {})).status).toBe(421);
    session.destroy();
  });

  test("no server name at all is not another name", async () => {
    const socket = await front.connect({ servername: "", checkServerIdentity: () => undefined });
    socket.write(REQUEST);
    expect(statusOf(await wholeAnswer(socket))).toBe(200);
    socket.destroy();
  });
});

describe("session tickets (RFC 8446 section 4.6.1)", () => {
  /** Connects once for a ticket, then again with it, at another instance. */
  async function isResumed(first: Front, second: Front, version: "TLSv1.2" | "TLSv1.3"): Promise<boolean> {
    const versions = { minVersion: version, maxVersion: version };
    const socket = await first.connect(versions);
    const ticket = once(socket, "session") as Promise<[Buffer]>;
    socket.write(REQUEST);
    const early = version === "TLSv1.2" ? socket.getSession() : undefined;
    const session = early ?? (await ticket)[0];
    await wholeAnswer(socket);
    socket.destroy();
    const again = await second.connect({ ...versions, session });
    const isReused = again.isSessionReused();
    again.write(REQUEST);
    expect(statusOf(await wholeAnswer(again))).toBe(200);
    again.destroy();
    return isReused;
  }

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "%s: a ticket is good at another instance with the same key, so over restarts",
    async (version) => {
      const sibling = await bed.start();
      expect(await isResumed(front, sibling, version)).toBe(true);
    },
  );

  test("the keys change every day (UTC), and are the same wherever the secret key is", () => {
    const keys = () => SealingKeys.parse(bed.secretKey, [])?.forHostname(HOSTNAME as Hostname);
    const of = (instant: string) => sessionTicketKeys(keys()!, ticketDay(Date.parse(instant)));
    expect(of("2026-11-23T00:00:00Z")).toHaveLength(48);
    expect(of("2026-11-23T00:00:00Z")).toEqual(of("2026-11-23T23:59:59Z"));
    expect(of("2026-11-23T23:59:59Z")).not.toEqual(of("2026-11-24T00:00:00Z"));
  });

  test("with another secret key the handshake is a full one", async () => {
    const stranger = await bed.start({ GATEHOUSE_SECRET_KEY: newSecretKey() });
    expect(await isResumed(front, stranger, "TLSv1.3")).toBe(false);
  });
});

test.each(["h2", "http/1.1"])(
  "%s: a broken record in the middle of a stream reaches the upstream as an abort",
  async (protocol) => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    bed.upstream.answers.set("/stream", (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      response.once("close", resolve);
    });
    const socket = await front.open();
    socket.write(HEADER);
    const secured = connectTls({
      socket,
      servername: HOSTNAME,
      ca: bed.authority.caPem,
      ALPNProtocols: [protocol],
    });
    await once(secured, "secureConnect");
    secured.on("error", () => undefined);
    await beginStream(secured, protocol);
    // Application data that was never encrypted, past the TLS of this peer.
    writeSync(descriptor(socket), Buffer.concat([Buffer.from("1703030020", "hex"), Buffer.alloc(32)]));
    await aborted;
    socket.destroy();
  },
);

async function beginStream(socket: TLSSocket, protocol: string): Promise<void> {
  if (protocol === "h2") {
    const { connect } = await import("node:http2");
    const session = connect(`https://${HOSTNAME}`, { createConnection: () => socket });
    session.on("error", () => undefined);
    const stream = session.request({ ":path": "/stream" });
    stream.on("error", () => undefined);
    await once(stream, "data");
  } else {
    socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    await once(socket, "data");
  }
}

/** The descriptor behind a socket: there is no public way to write past the TLS of one's own connection. */
function descriptor(socket: object): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  return Number(Reflect.get(Object(handle), "fd"));
}

async function connections(): Promise<number> {
  return until(async () => Number((await front.health()).report["connections"]));
}
