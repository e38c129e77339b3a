import { isIP } from "node:net";
import { expectSame, expectThat, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { AddressList } from "../../src/address.ts";
import { parseHostname } from "../../src/hostname.ts";
import { formatListenAddress, parseListenAddress } from "../../src/listen-address.ts";
import { parseRedisUrl } from "../../src/redis-url.ts";
import { formatTarget, parseRoute } from "../../src/route.ts";

/** The schemas of single values: hostname, route, address list, listen address, Redis URL. */
function check(input: Buffer): void {
  const text = input.toString("utf8");
  checkHostname(text);
  checkRoute(text);
  checkAddresses(text);
  checkListenAddress(text);
  const redis = parseRedisUrl(text);
  expectThat("a database number", redis === undefined || (redis.db ?? 0) < 10_000);
}

function checkHostname(text: string): void {
  const read = parseHostname(text);
  if (!read.ok) return;
  const { hostname } = read;
  expectThat("a hostname's alphabet", /^[a-z0-9_.-]{1,253}$/.test(hostname) && isIP(hostname) === 0);
  expectThat(
    "never altered but in case and one dot",
    [hostname, `${hostname}.`].includes(text.toLowerCase()),
  );
  expectSame("canonical form", parseHostname(hostname), read);
  // What a URL parser would connect to is the very same name, never an address.
  const url = URL.parse(`https://${hostname}/`);
  if (url !== null) expectSame("as a URL parser reads it", url.hostname, hostname);
}

function checkRoute(text: string): void {
  const read = parseRoute(text);
  if (!read.ok) {
    expectThat("a problem on one line", !/[\u0000-\u001f]/.test(read.problem) && read.problem.length < 800);
    return;
  }
  const { targets, proxy } = read.route;
  expectThat("a bounded number of targets", targets.length >= 1 && targets.length <= 64);
  const written = `${targets.map((target) => formatTarget(target)).join(",")};proxy=${proxy}`;
  expectSame("what is accepted round-trips", parseRoute(written), read);
}

function checkAddresses(text: string): void {
  const entries = text.split(",");
  const read = AddressList.parse(entries);
  if (!read.ok)
    return expectThat(
      "bad entries are of the list",
      read.bad.every((one) => entries.includes(one)),
    );
  for (const entry of entries) {
    const [ip = ""] = entry.split("/");
    expectThat("an entry holds its own address", read.list.has(ip));
  }
}

function checkListenAddress(text: string): void {
  const read = parseListenAddress(text);
  if (read !== undefined)
    expectSame("what is accepted round-trips", parseListenAddress(formatListenAddress(read)), read);
}

export const target: FuzzTarget = {
  name: "operator-text",
  guides: [
    "shared/src/hostname.ts",
    "shared/src/route.ts",
    "shared/src/address.ts",
    "shared/src/listen-address.ts",
    "shared/src/redis-url.ts",
  ],
  seeds: [
    "simple.example.com",
    "Xn--BCHER-kva.Example.",
    "_acme.a-b.example",
    "13001",
    "10.0.0.7:13001, [fd00::7]:13001,name.internal:13001;proxy=v1",
    "unix:/run/gatehouse/name.sock;proxy=off",
    "10.0.0.0/8,fd00::/8,192.0.2.7,::ffff:192.0.2.1/120",
    "0.0.0.0:443",
    "redis://user:p%40ss@host:6380/3",
    "unix:///run/redis.sock?db=2&username=a&password=b",
    "redis+sentinel://u:p@a:1,b,[::1]:2/main/1?sentinel_password=x",
  ].map((text) => Buffer.from(text)),
  dictionary: [
    "127.1",
    "0x7f",
    "::1",
    "%eth0",
    "K",
    "\u00e2\u0084\u00aa",
    "xn--",
    "..",
    "65536",
    ";proxy=",
    "unix:/",
    "/33",
    "/129",
  ],
  maxBytes: 1000,
  check,
};
