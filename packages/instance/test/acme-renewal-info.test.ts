import { once } from "node:events";
import { createServer, request, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { findPebble } from "@gatehouse/testbed/pebble-program";
import type { Pebble } from "@gatehouse/testbed/pebble";
import { until } from "@gatehouse/testbed/until";
import { openAcmeBed, servedSerial, storedCertificate, type AcmeBed } from "./support/acme-bed.ts";
import { ManualClock } from "./support/manual-clock.ts";
import { renewalIdentifier } from "../src/acme/renewal-info.ts";

const found = await findPebble();
const title = "missing" in found ? `renewal information (skipped: ${found.missing})` : "renewal information";
const suite = "missing" in found ? describe.skip : describe;
const DAY = 86_400_000;

/** Pebble's directory with what pebble 2.4 lacks: renewal information, and an ear for what orders say. */
class InformedDirectory {
  readonly #pebble: Pebble;
  readonly #server: Server;
  #base = "";
  #newOrderPath = "";
  /** What is answered for each certificate; nothing: 404. */
  readonly windows = new Map<string, { start: number; end: number }>();
  fallback = { start: 0, end: 0 };
  readonly asked: string[] = [];
  readonly orders: { replaces?: string }[] = [];

  constructor(pebble: Pebble, tls: { certPem: string; keyPem: string }) {
    this.#pebble = pebble;
    this.#server = createServer({ cert: tls.certPem, key: tls.keyPem }, (asked, answer) => {
      this.#answer(asked, answer).catch(() => answer.destroy());
    });
  }

  async open(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.#base = `https://localhost:${(this.#server.address() as AddressInfo).port}`;
    return `${this.#base}/dir`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const path = asked.url ?? "";
    if (path.startsWith("/info/")) {
      const id = path.slice("/info/".length);
      this.asked.push(id);
      const { start, end } = this.windows.get(id) ?? this.fallback;
      const suggestedWindow = { start: new Date(start).toISOString(), end: new Date(end).toISOString() };
      answer.writeHead(200, { "retry-after": "3600" }).end(JSON.stringify({ suggestedWindow }));
      return;
    }
    let body = "";
    for await (const chunk of asked) body += String(chunk);
    if (path === this.#newOrderPath) {
      const { payload = "" } = JSON.parse(body) as { payload?: string };
      this.orders.push(JSON.parse(Buffer.from(payload, "base64url").toString()) as { replaces?: string });
    }
    const onward = request(new URL(path, this.#pebble.directoryUrl), {
      method: asked.method ?? "GET",
      headers: asked.headers,
      ca: this.#pebble.authority.caPem,
      servername: "",
      agent: false,
    });
    onward.end(body);
    const [response] = (await once(onward, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of response) text += String(chunk);
    const { "content-length": _length, ...headers } = response.headers;
    if (path !== "/dir") {
      answer.writeHead(response.statusCode ?? 500, headers).end(text);
      return;
    }
    // Its URLs are made from the Host it was asked with, so everything comes through here.
    const pebbles = JSON.parse(text) as Record<string, string>;
    this.#newOrderPath = new URL(pebbles["newOrder"] ?? "").pathname;
    answer.writeHead(200, headers).end(JSON.stringify({ ...pebbles, renewalInfo: `${this.#base}/info` }));
  }
}

let acme: AcmeBed;
let directory: InformedDirectory;
let directoryUrl: string;

suite(title, () => {
  beforeAll(async () => {
    if ("missing" in found) throw new Error(found.missing);
    acme = await openAcmeBed(found);
    directory = new InformedDirectory(acme.pebble, await acme.pebble.authority.issue(["localhost"]));
    directoryUrl = await directory.open();
  });
  afterAll(async () => {
    // The instance asks about its new certificate at any moment, so it stops first.
    await acme.close();
    directory.close();
  });

  test("a certificate is renewed in the window its authority suggests, and names the one it replaces", async () => {
    const clock = new ManualClock();
    const start = clock.now() + 10 * DAY;
    directory.fallback = { start, end: start + DAY };
    const front = await acme.start({ GATEHOUSE_ACME_DIRECTORY_URL: directoryUrl }, clock);
    await front.record(({ event }) => event === "certificate_loaded");
    const id = renewalIdentifier((await storedCertificate(acme.bed))["fullchain_pem"] ?? "") ?? "";
    await until(() => directory.asked.includes(id));
    // Asked again when Retry-After says, which comes before the window.
    await until(() => clock.nextAt <= clock.now() + 3_600_000);
    const { report } = await front.health();
    const { next_at: next } = (report["certificate"] as { renewal: { next_at: string } }).renewal;
    expect(Date.parse(next)).toBeGreaterThanOrEqual(start);
    expect(Date.parse(next)).toBeLessThan(start + DAY);
    expect(directory.orders).toEqual([expect.not.objectContaining({ replaces: expect.anything() })]);
    // The authority is about to revoke it, and moves the window into the past (RFC 9773 section 4.2).
    directory.windows.set(id, { start: clock.now() - DAY, end: clock.now() - 1 });
    const first = await servedSerial(front);
    clock.moveBy(3_600_000);
    // No sooner than a day after it was issued: an authority that errs must not make us order without end.
    await until(() => directory.asked.length === 2);
    await until(() => clock.nextAt !== Infinity);
    expect(directory.orders).toHaveLength(1);
    clock.moveBy(DAY);
    await until(async () => (await servedSerial(front)) !== first);
    expect(directory.orders).toHaveLength(2);
    expect(directory.orders[1]).toMatchObject({ replaces: id });
  });
});
