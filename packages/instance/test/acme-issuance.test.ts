import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { findPebble } from "@gatehouse/testbed/pebble-program";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, type Front } from "./support/front-bed.ts";
import { keysOf, openAcmeBed, servedSerial, storedCertificate, type AcmeBed } from "./support/acme-bed.ts";
import { ManualClock } from "./support/manual-clock.ts";

const found = await findPebble();
const title = "missing" in found ? `acme (skipped: ${found.missing})` : "acme, against pebble";
const suite = "missing" in found ? describe.skip : describe;

/** Six attempts at an authority that takes its time, on a machine with every core busy. */
const FIVE_ORDERS_MS = 60_000;

let acme: AcmeBed;
let clock: ManualClock;
const started: Front[] = [];

async function start(env: Record<string, string> = {}): Promise<Front> {
  const front = await acme.start(env, clock);
  started.push(front);
  return front;
}

const messages = (front: Front, event: string): string[] =>
  front.records.filter((record) => record.event === event).map(({ message = "" }) => message);

interface Renewal {
  readonly state: string;
  readonly next_at: string;
  readonly problem?: string;
}

async function renewal(front: Front): Promise<Renewal> {
  const { certificate } = (await front.health()).report as { certificate: { renewal: Renewal } };
  return certificate.renewal;
}

async function attempts(): Promise<Record<string, unknown>> {
  return JSON.parse((await acme.bed.store.get(`acme:attempts:${HOSTNAME}`)) ?? "{}") as Record<
    string,
    unknown
  >;
}

/** As `gatehouse cert renew` does. */
async function ask(request = JSON.stringify({ asked_at: clock.now() })): Promise<void> {
  await acme.bed.store.set(`acme:renew:${HOSTNAME}`, request);
}

async function stopAll(): Promise<void> {
  await Promise.all(started.splice(0).map((front) => front.stop()));
  acme.reached.length = 0;
}

suite(title, () => {
  beforeAll(async () => {
    if ("missing" in found) throw new Error(found.missing);
    acme = await openAcmeBed(found);
  });
  afterAll(() => acme.close());
  beforeEach(() => {
    clock = new ManualClock();
  });
  afterEach(async () => {
    acme.releaseChecks();
    await stopAll();
    const keys = [...(await keysOf(acme.bed, "acme:")), `cert:${HOSTNAME}`];
    await acme.bed.store.del(...keys);
  });

  test("the first certificate comes by acme-tls/1 and is served at once; nothing is left but sealed keys", async () => {
    const front = await start();
    await front.record(({ event }) => event === "certificate_issued");
    await until(async () => (await storedCertificate(acme.bed))["source"] === "acme");
    const stored = await storedCertificate(acme.bed);
    const leaf = new X509Certificate(stored["fullchain_pem"] ?? "");
    await until(async () => (await servedSerial(front)) === leaf.serialNumber);
    const ca = await acme.pebble.rootPem();
    const socket = await front.connect({ ca });
    expect(socket.authorized).toBe(true);
    socket.destroy();
    expect(front.records.some(({ event }) => event === "challenge_answered")).toBe(true);
    await until(async () => (await keysOf(acme.bed, "acme:")).length === 1);
    const [account = ""] = await keysOf(acme.bed, "acme:");
    expect(account).toMatch(/^acme:account:a\.example:/);
    const everything = `${await acme.bed.store.get(account)}${JSON.stringify(stored)}${JSON.stringify(front.records)}`;
    expect(everything).not.toMatch(/PRIVATE KEY-----|key_pem/);
    const life = Date.parse(leaf.validTo) - Date.parse(leaf.validFrom);
    const { next_at: next } = await renewal(front);
    const share = (Date.parse(next) - Date.parse(leaf.validFrom)) / life;
    expect(share).toBeGreaterThan(0.63);
    expect(share).toBeLessThanOrEqual(0.667);
  });

  test.each([
    ["an address", { GATEHOUSE_ACME_EMAIL: "" }],
    ["a yes to the terms", { GATEHOUSE_ACME_TERMS_AGREED: "" }],
  ])("without %s nothing is asked for, and it is said", async (_what, env) => {
    const front = await start(env);
    await front.record(({ event }) => event === "certificate_failed");
    expect(await renewal(front)).toMatchObject({
      state: "off",
      problem: expect.stringMatching(/TERMS_AGREED/),
    });
    expect(messages(front, "certificate_requested")).toEqual([]);
    expect(await keysOf(acme.bed, "acme:")).toEqual([]);
  });

  test("it is renewed when it is due, while a stream runs on", async () => {
    acme.bed.upstream.answers.set("/stream", (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      acme.bed.upstream.server.once("go-on", () => response.end("data: 2\n\n"));
    });
    const front = await start();
    await front.record(({ event }) => event === "certificate_loaded");
    const first = await servedSerial(front);
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"], rejectUnauthorized: false });
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    await until(() => text.includes("data: 1"));
    const dueAt = Date.parse((await renewal(front)).next_at);
    clock.moveTo(dueAt - 1000);
    await until(() => clock.nextAt === dueAt);
    expect(messages(front, "certificate_requested")).toHaveLength(1);
    clock.moveTo(dueAt);
    await until(async () => (await servedSerial(front)) !== first);
    acme.bed.upstream.server.emit("go-on");
    await until(() => text.includes("data: 2"));
    socket.destroy();
    expect(messages(front, "certificate_issued")).toHaveLength(2);
  });

  test("two instances of a hostname order once, either answers, and both serve it", async () => {
    const [one, two] = await Promise.all([start(), start()]);
    await until(() => [one, two].every((front) => messages(front, "certificate_loaded").length > 0));
    clock.moveBy(60_000);
    await until(async () => (await renewal(one)).state === "waiting");
    expect([
      ...messages(one, "certificate_requested"),
      ...messages(two, "certificate_requested"),
    ]).toHaveLength(1);
    const serial = await servedSerial(one);
    await until(async () => (await servedSerial(two)) === serial);
  });

  test("an instance that did not order answers for the one that did", async () => {
    const idle = await start({ GATEHOUSE_ACME_EMAIL: "" });
    const orders = await start();
    acme.reached.splice(0, Infinity, idle);
    await orders.record(({ event }) => event === "certificate_issued");
    expect(messages(idle, "challenge_answered")).not.toEqual([]);
    expect(messages(orders, "challenge_answered")).toEqual([]);
  });

  test("a failed check waits a minute, over a restart too, and is tried again", async () => {
    const front = await start();
    acme.reached.length = 0;
    const { message = "" } = await front.record(({ event }) => event === "certificate_failed");
    expect(message).toMatch(/failure 1\), next attempt .*: urn:ietf:params:acme:error:.*tls-alpn-01/);
    const failing = await renewal(front);
    expect(failing).toMatchObject({ state: "failing", problem: expect.stringMatching(/tls-alpn-01/) });
    const wait = Date.parse(failing.next_at) - clock.now();
    expect(wait).toBeGreaterThanOrEqual(60_000);
    expect(wait).toBeLessThanOrEqual(66_000);
    await until(async () => (await keysOf(acme.bed, "acme:lock")).length === 0);
    await stopAll();
    const again = await start();
    await until(async () => (await renewal(again)).state === "failing");
    expect(messages(again, "certificate_requested")).toEqual([]);
    clock.moveBy(wait);
    await again.record(({ event }) => event === "certificate_issued");
    // What failed within the hour goes on counting towards the five of an hour.
    await until(async () => (await attempts())["failures"] === 0);
    expect(await attempts()).toMatchObject({ began_at: [expect.any(Number)], not_before: 0, problem: "" });
    expect(await renewal(again)).toMatchObject({ state: "waiting" });
  });

  test("an operator's request renews at once, once, and by one of two instances", async () => {
    const [one, two] = await Promise.all([start(), start()]);
    await until(() => [one, two].every((front) => messages(front, "certificate_loaded").length > 0));
    const first = await servedSerial(one);
    await ask();
    await until(async () => (await servedSerial(one)) !== first);
    await until(async () => (await servedSerial(two)) === (await servedSerial(one)));
    clock.moveBy(60_000);
    const requested = [one, two].flatMap((front) => messages(front, "certificate_requested"));
    expect(requested.filter((message) => message.endsWith("as an operator asks"))).toHaveLength(1);
    expect(requested).toHaveLength(2);
    expect(await keysOf(acme.bed, "acme:renew")).toEqual([]);
  });

  test(
    "a request is not kept waiting by failures, but by five of them in an hour",
    async () => {
      const front = await start();
      acme.reached.length = 0;
      await front.record(({ event }) => event === "certificate_failed");
      for (let failures = 2; failures <= 5; failures++) {
        clock.moveBy(1000);
        await ask();
        await until(() => messages(front, "certificate_failed").length === failures);
      }
      acme.reached.push(front);
      const [oldest = 0] = (await attempts())["began_at"] as number[];
      await ask();
      const { next_at: next } = await until(async () => {
        const now = await renewal(front);
        return now.state === "failing" && Date.parse(now.next_at) === oldest + 3_600_001 && now;
      });
      expect(messages(front, "certificate_requested")).toHaveLength(5);
      expect(await keysOf(acme.bed, "acme:renew")).toHaveLength(1);
      clock.moveTo(Date.parse(next));
      await front.record(({ event }) => event === "certificate_issued");
      expect(await keysOf(acme.bed, "acme:renew")).toEqual([]);
    },
    FIVE_ORDERS_MS,
  );

  test("a request that is no document asks for nothing", async () => {
    const front = await start();
    await front.record(({ event }) => event === "certificate_issued");
    await until(async () => (await renewal(front)).state === "waiting");
    await ask("now");
    clock.moveBy(60_000);
    expect(await renewal(front)).toMatchObject({ state: "waiting" });
    expect(messages(front, "certificate_requested")).toHaveLength(1);
  });

  test("a certificate that comes from elsewhere ends the failing, and is renewed in its turn", async () => {
    const front = await start();
    acme.reached.length = 0;
    await front.record(({ event }) => event === "certificate_failed");
    const { certPem, keyPem } = await acme.bed.authority.issue([HOSTNAME]);
    const key = `cert:${HOSTNAME}`;
    const sealed = SealingKeys.parse(acme.bed.secretKey, [])
      ?.forHostname(HOSTNAME as never)
      ?.seal(key, keyPem);
    const value = { fullchain_pem: certPem, private_key: sealed, source: "import" };
    await acme.bed.store.set(key, JSON.stringify(value));
    const { validFrom, validTo } = new X509Certificate(certPem);
    const { next_at: next } = await until(async () => {
      const now = await renewal(front);
      return now.state === "waiting" && now;
    });
    const share = (Date.parse(next) - Date.parse(validFrom)) / (Date.parse(validTo) - Date.parse(validFrom));
    expect(share).toBeGreaterThan(0.63);
    expect(share).toBeLessThanOrEqual(0.667);
  });

  test("refused nonces are repeated", async () => {
    await acme.pebble.restart({ PEBBLE_WFE_NONCEREJECT: "20" });
    const front = await start();
    await front.record(({ event }) => event === "certificate_issued");
    await acme.pebble.restart();
  });

  test("an authority that forgot the account gets another; one that remembers the proof asks for none", async () => {
    const front = await start();
    await front.record(({ event }) => event === "certificate_issued");
    await acme.pebble.restart({ PEBBLE_AUTHZREUSE: "100" });
    await acme.bed.store.del(`cert:${HOSTNAME}`);
    await front.record(
      ({ event, message }) => event === "certificate_failed" && /account/i.test(message ?? ""),
    );
    clock.moveBy(70_000);
    await until(() => messages(front, "certificate_issued").length === 2);
    const answered = messages(front, "challenge_answered").length;
    await acme.bed.store.del(`cert:${HOSTNAME}`);
    await until(() => messages(front, "certificate_issued").length === 3);
    expect(messages(front, "challenge_answered")).toHaveLength(answered);
    await acme.pebble.restart();
  });

  test("a stop in the middle leaves no lock and counts no failure; the next start goes on", async () => {
    acme.holdChecks();
    const front = await start();
    await front.record(({ event }) => event === "certificate_requested");
    await stopAll();
    acme.releaseChecks();
    expect(await keysOf(acme.bed, "acme:lock")).toEqual([]);
    expect(await keysOf(acme.bed, "acme:attempts")).toEqual([]);
    const again = await start();
    await again.record(({ event }) => event === "certificate_issued");
  });

  test("an authority that is busy is given the time it asks for", async () => {
    const { certPem, keyPem } = await acme.pebble.authority.issue(["localhost"]);
    const busy = createServer({ cert: certPem, key: keyPem }, (_request, response) => {
      response.writeHead(503, { "retry-after": "7200" }).end();
    }).listen(0, "127.0.0.1");
    await once(busy, "listening");
    const { port } = busy.address() as AddressInfo;
    const front = await start({ GATEHOUSE_ACME_DIRECTORY_URL: `https://localhost:${port}/dir` });
    await front.record(({ event }) => event === "certificate_failed");
    expect(Date.parse((await renewal(front)).next_at) - clock.now()).toBeGreaterThanOrEqual(7_200_000);
    busy.closeAllConnections();
    busy.close();
  });

  test.each([
    ["whose certificate nobody vouches for", { GATEHOUSE_ACME_CA_FILE: "" }, /self-signed|unable to/],
    ["whose roots can't be read", { GATEHOUSE_ACME_CA_FILE: "/nonexistent" }, /ENOENT/],
    ["that is not there", { GATEHOUSE_ACME_DIRECTORY_URL: "https://127.0.0.1:1/dir" }, /ECONNREFUSED/],
  ])("an authority %s is asked for nothing, and it is said", async (_what, env, reason) => {
    const front = await start(env);
    const { message } = await front.record(({ event }) => event === "certificate_failed");
    expect(message).toMatch(reason);
    expect(await keysOf(acme.bed, "acme:account")).toEqual([]);
  });

  test("Redis that goes away in the middle costs the attempt, and nothing else", async () => {
    acme.holdChecks();
    const front = await start();
    await front.record(({ event }) => event === "certificate_requested");
    await acme.bed.redis.kill();
    await front.record(({ event }) => event === "store_lost");
    acme.releaseChecks();
    await acme.bed.redis.restart(); // empty: the lock is gone too
    await until(() => acme.bed.store.ping().catch(() => undefined));
    // Another config than before: should the instance come back later than it is written, it would notice no change.
    await acme.bed.configure({ certificate: "acme", allowed_origins: ["https://other.example"] });
    await until(() => messages(front, "config_changed").length > 1);
    await until(async () => (await renewal(front)).state !== "issuing");
    clock.moveBy(70_000);
    await front.record(({ event }) => event === "certificate_issued");
    expect((await front.get("/", { rejectUnauthorized: false })).status).toBe(200);
  });

  test("a stored certificate that can't be opened is not replaced", async () => {
    await acme.bed.store.set(`cert:${HOSTNAME}`, JSON.stringify({ fullchain_pem: "x", private_key: "y" }));
    const front = await start();
    await until(async () => (await renewal(front)).state === "failing");
    clock.moveBy(86_400_000);
    expect((await renewal(front)).problem).toMatch(/is not replaced/);
    expect(messages(front, "certificate_requested")).toEqual([]);
  });
});
