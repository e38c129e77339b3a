import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, get as getPlain, type IncomingMessage, type Server } from "node:http";
import { get } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { freePort } from "@gatehouse/testbed/free-ports";
import { startPebble, type Pebble } from "@gatehouse/testbed/pebble";
import { findPebble } from "@gatehouse/testbed/pebble-program";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { until } from "@gatehouse/testbed/until";

const found = await findPebble();
const title = "missing" in found ? `certificates (skipped: ${found.missing})` : "certificates by themselves";
const suite = "missing" in found ? describe.skip : describe;

interface Health {
  readonly certificate: { readonly renewal: { readonly problem?: string } };
}

let gatehouse: Gatehouse;
let pebble: Pebble;
let upstream: Server;
let upstreamUrl: string;
let httpPort: number;

/** Reads the whole answer. */
async function answerOf(asked: ReturnType<typeof get>): Promise<{ message: IncomingMessage; body: string }> {
  const [message] = (await once(asked, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of message) body += String(chunk);
  return { message, body };
}

/** Asks as a verifying peer does, through the dispatcher. */
async function ask(hostname: string): Promise<string> {
  const [host, ca] = ["127.0.0.1", await pebble.rootPem()];
  const headers = { host: `${hostname}:${gatehouse.port}` };
  const asked = get({ host, port: gatehouse.port, servername: hostname, ca, headers, agent: false });
  return (await answerOf(asked)).body;
}

async function addHost(hostname: string, env: Record<string, string> = {}): Promise<void> {
  await gatehouse.addHost({
    hostname,
    upstreamUrl,
    config: { certificate: "acme" },
    env: {
      GATEHOUSE_CERTIFICATE_FILE: "",
      GATEHOUSE_CERTIFICATE_KEY_FILE: "",
      GATEHOUSE_ACME_DIRECTORY_URL: pebble.directoryUrl,
      GATEHOUSE_ACME_CA_FILE: pebble.authority.caPath,
      GATEHOUSE_ACME_EMAIL: "operator@example.org",
      GATEHOUSE_ACME_TERMS_AGREED: "yes",
      ...env,
    },
  });
}

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** The real command, beside this process, which is the upstream. */
function renew(...args: string[]): Promise<Ran> {
  const launcher = join(import.meta.dirname, "../../scripts/gatehouse");
  const env = { PATH: process.env["PATH"], REDIS_URL: gatehouse.redis.url };
  return new Promise((resolve) => {
    execFile(launcher, ["cert", "renew", ...args, "--json"], { env }, (error, out, err) =>
      resolve({ status: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

suite(title, () => {
  beforeAll(async () => {
    if ("missing" in found) throw new Error(found.missing);
    upstream = createServer((_request, response) => response.end("from the upstream")).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    httpPort = await freePort();
    gatehouse = await startGatehouse({
      hosts: [],
      dispatcherEnv: { GATEHOUSE_DISPATCHER_HTTP_LISTEN: `127.0.0.1:${httpPort}` },
    });
    pebble = await startPebble(found, { tlsPort: gatehouse.port, httpPort });
  });
  afterAll(async () => {
    await gatehouse.stop();
    await pebble.stop();
    upstream.closeAllConnections();
    upstream.close();
  });

  test.each([
    ["tls-alpn-01, through the one open port", "one.example", "tls-alpn-01"],
    ["http-01, by the dispatcher", "two.example", "http-01"],
  ])("a new host is served with a certificate that verifies: %s", async (_what, hostname, challenge) => {
    await addHost(hostname, { GATEHOUSE_ACME_CHALLENGE: challenge });
    await gatehouse.instance(hostname).awaitRecord(/certificate loaded: stored/);
    expect(await ask(hostname)).toBe("from the upstream");
    const answerer = challenge === "http-01" ? gatehouse.dispatcher : gatehouse.instance(hostname);
    await answerer.awaitRecord(new RegExp(`challenge answered: ${challenge}`));
  });

  test("port 80 sends a routed name to https", async () => {
    const headers = { host: "one.example" };
    const asked = getPlain({ host: "127.0.0.1", port: httpPort, path: "/mcp?x=1", headers, agent: false });
    const { message } = await answerOf(asked);
    expect(message.statusCode).toBe(308);
    expect(message.headers.location).toBe("https://one.example/mcp?x=1");
  });

  test("cert renew gets another one from the running instance, and says until when", async () => {
    const before = await gatehouse.store.get("cert:one.example");
    const { status, out } = await renew("one.example");
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ hostname: "one.example", state: "issued" });
    expect(await gatehouse.store.get("cert:one.example")).not.toBe(before);
    expect(await ask("one.example")).toBe("from the upstream");
    await gatehouse.instance("one.example").awaitRecord(/certificate requested at .*, as an operator asks/);
  });

  test("cert renew says why there is none: what failed, five failures in an hour, nobody there", async () => {
    await addHost("four.example", { GATEHOUSE_ACME_DIRECTORY_URL: "https://127.0.0.1:1/dir" });
    await gatehouse.instance("four.example").awaitRecord(/no certificate \(failure 1\)/);
    const reason = expect.stringMatching(/no certificate: .*ECONNREFUSED.* by itself: 20/);
    expect(await renew("four.example")).toMatchObject({ status: 1, out: "", err: reason });
    const [attempts, request] = ["acme:attempts:four.example", "acme:renew:four.example"];
    const failed = JSON.parse((await gatehouse.store.get(attempts)) ?? "{}") as { began_at: number[] };
    expect(failed.began_at).toHaveLength(2);
    await gatehouse.instance("four.example").stop();
    const five = { ...failed, began_at: Array<number>(5).fill(Date.now()) };
    await gatehouse.store.set(attempts, JSON.stringify(five));
    const held = expect.stringContaining("hold it back until");
    expect(await renew("four.example", "--wait", "1")).toMatchObject({ status: 1, err: held });
    expect(await gatehouse.store.exists(request)).toBe(1);
    await gatehouse.store.del(attempts);
    const alone = expect.stringContaining("no instance takes it up");
    expect(await renew("four.example", "--wait", "1")).toMatchObject({ status: 1, err: alone });
    expect(await gatehouse.store.exists(request)).toBe(0);
  });

  test("a process that dies in the middle of an order does not order again at once", async () => {
    await addHost("three.example");
    const instance = gatehouse.instance("three.example");
    await instance.awaitRecord(/certificate requested/);
    await instance.kill();
    const text = await gatehouse.store.get("acme:attempts:three.example");
    const { not_before: notBefore } = JSON.parse(text ?? "{}") as { not_before: number };
    expect(notBefore - Date.now()).toBeGreaterThan(30_000);
    // What a next process finds once the lock of the dead one has ended.
    await gatehouse.store.del("acme:lock:three.example");
    await instance.start();
    await until(
      async () => (await (await fetch(`${instance.adminUrl}/health`)).json()) as Health,
      ({ certificate }) => certificate.renewal.problem === "the attempt did not end",
    );
    expect(instance.records.all(/certificate requested/)).toHaveLength(1);
  });
});
