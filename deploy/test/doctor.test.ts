/** `gatehouse doctor`: a healthy host passes, and each fault that is planted is named with its fix. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { freePort } from "@gatehouse/testbed/free-ports";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { CLIENTS } from "../../scripts/doctor/clients.ts";
import { STEPS } from "../../scripts/doctor/steps.ts";
import { DoctorBed, FOREIGN, OPEN, PROTECTED, type DoctorCase } from "./support/doctor-bed.ts";

let bed: DoctorBed;

beforeAll(async () => {
  bed = await DoctorBed.start();
}, 60_000);
afterAll(async () => {
  await bed?.stop();
});

describe("a healthy host", () => {
  test("that is protected passes everything, with a person's login, and nothing stays registered", async () => {
    const visits: Promise<unknown>[] = [];
    const run = await bed.run(
      { host: PROTECTED, args: ["--login", "--tool", "whoami"], env: bed.storeEnv },
      (text) => {
        const [url = ""] = /https:\S+/.exec(text) ?? [];
        visits.push(bed.protected.logIn(url, "octocat"));
      },
    );
    await Promise.all(visits);
    expect([...run.failed.values()]).toEqual([]);
    const skipped = run.all.filter(({ outcome }) => outcome === "skipped").map(({ id }) => id);
    expect(skipped).toEqual(["config.certificate", "dns.resolve", "dns.public"]);
    expect(await bed.gatehouse.store.keys("oauth:client:*")).toEqual([]);
    const arrival = run.all.find(({ id }) => id === "record.arrival");
    expect(arrival?.finding).toMatch(/\d+ connections, \d+ requests; conn=c-\w+ req=req-\w+/);
  });

  test("keeps nothing of an examination that was stopped while it waited for the browser", async () => {
    const stop = new AbortController();
    const run = await bed.run({ host: PROTECTED, args: ["--login"] }, () => stop.abort(), stop.signal);
    expect(run.failed.get("token.login")?.finding).toContain("stopped");
    expect(run.all.find(({ id }) => id === "registration.delete")?.outcome).toBe("pass");
    expect(run.all.find(({ id }) => id === "mcp.stateless")?.finding).toBe("stopped");
    expect(await bed.gatehouse.store.keys("oauth:client:*")).toEqual([]);
  });

  test("that is open passes what there is to pass, without Redis too", async () => {
    for (const env of [bed.storeEnv, {}]) {
      const { all, failed } = await bed.run({ host: OPEN, env });
      expect([...failed.values()]).toEqual([]);
      const passed = all.filter(({ outcome }) => outcome === "pass").map(({ id }) => id);
      expect(passed).toEqual(
        expect.arrayContaining(["http.protection", "mcp.tools", "mcp.stream", "mcp.stateless"]),
      );
    }
  });
});

/** A fault, and exactly which steps fail for it; the first of them carries cause and fix. */
interface Fault {
  readonly name: string;
  readonly plant?: () => Promise<unknown>;
  readonly which: () => DoctorCase | Promise<DoctorCase>;
  readonly failed: readonly string[];
  readonly says: RegExp;
}

const fresh = (name: string): string => `${name}.doctor.localhost`;
/** Of the way to the host: seen from outside, without Redis. */
const WAYS: readonly Fault[] = [
  {
    name: "a name without DNS",
    which: () => ({ host: "nobody.invalid", isBare: true }),
    failed: ["dns.resolve"],
    says: /no A or AAAA|resolver[^]*A \(and AAAA\) record/,
  },
  {
    name: "a name that leads to an inner address",
    which: () => ({
      host: `localhost:${bed.gatehouse.port}`,
      isBare: true,
      args: ["--ca", bed.gatehouse.caPath],
    }),
    failed: ["dns.public", "tls.handshake"],
    says: /inner address[^]*public address of the dispatcher/,
  },
  {
    name: "a closed port",
    which: async () => ({ host: OPEN, isBare: true, args: ["--address", `127.0.0.1:${await freePort()}`] }),
    failed: ["tcp.connect"],
    says: /nothing listens[^]*GATEHOUSE_DISPATCHER_LISTEN/,
  },
  {
    name: "no route",
    which: () => ({ host: fresh("nowhere") }),
    failed: ["tls.handshake"],
    says: /alert 112[^]*SET route:nowhere/,
  },
  {
    name: "a route to another service, which speaks no TLS",
    plant: () => bed.route(fresh("clear"), `${bed.faulty.port};proxy=off`),
    which: () => ({ host: fresh("clear") }),
    failed: ["tls.handshake"],
    says: /route[^]*instance/,
  },
  {
    name: "a certificate for another name",
    plant: async () => bed.serveForeign(fresh("name"), await issued("other.example")),
    which: () => ({ host: fresh("name") }),
    failed: ["tls.name"],
    says: /another host[^]*DNS:name\.doctor/,
  },
  {
    name: "a certificate that has expired",
    plant: async () =>
      bed.serveForeign(fresh("expired"), await issued(fresh("expired"), new Date(Date.now() - 60_000))),
    which: () => ({ host: fresh("expired") }),
    failed: ["tls.dates"],
    says: /not renewed[^]*renew the certificate/,
  },
  {
    name: "an authority that nobody trusts",
    which: () => ({ host: OPEN, isBare: true, args: ["--address", `127.0.0.1:${bed.gatehouse.port}`] }),
    failed: ["tls.chain"],
    says: /private[^]*--ca FILE/,
  },
  {
    name: "TLS 1.2 and HTTP/1.1 only, and no 421: something in front that is no instance",
    plant: async () =>
      bed.serveForeign(fresh("old"), {
        ...(await issued(fresh("old"))),
        maxVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
      }),
    which: () => ({ host: fresh("old") }),
    failed: ["tls.versions", "tls.alpn", "http.foreign-host", "http.h2", "mcp.initialize"],
    says: /only TLSv1\.2[^]*route:old/,
  },
  {
    name: "another public port than the instance knows",
    which: () => ({ host: `${OPEN}:${bed.gatehouse.port + 1}` }),
    failed: ["http.serves"],
    says: /421[^]*GATEHOUSE_PUBLIC_PORT/,
  },
];

/** Of the route: with what stands in Redis and in the record. */
const ROUTES: readonly Fault[] = [
  {
    name: "a route to a port where nothing listens",
    plant: async () => bed.route(fresh("dead"), String(await freePort())),
    which: () => ({ host: fresh("dead"), env: bed.storeEnv }),
    failed: ["config.host", "config.target", "tls.handshake", "record.refusals"],
    says: /instance does not run/,
  },
  {
    name: "a route to the dispatcher itself",
    plant: () => bed.route(fresh("loop"), String(bed.gatehouse.port)),
    which: () => ({ host: fresh("loop"), env: bed.storeEnv }),
    failed: ["config.host", "tls.handshake", "record.refusals"],
    says: /leads back to the dispatcher[^]*SET route:loop/,
  },
  {
    name: "a route that can't be read",
    plant: () => bed.route(fresh("bad"), "host:port"),
    which: () => ({ host: fresh("bad"), env: bed.storeEnv }),
    failed: ["config.host", "config.route", "tls.handshake", "record.refusals"],
    says: /bad_route[^]*redis-cli SET route:bad/,
  },
  {
    name: "a record that belongs to another installation, as where no connection ever arrived",
    which: () => ({ host: OPEN, env: { LOG_REDIS_URL: elsewhere.url } }),
    failed: ["record.arrival"],
    says: /no connection ever reached port[^]*firewall/,
  },
];

const unsigned = (claims: object): string =>
  ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

/** Returns claims as a token of the protected host has them. */
function claims(more: object): object {
  const iss = bed.protected.origin(PROTECTED);
  return { iss, aud: [`${iss}/mcp`], exp: inSeconds(600), sub: "octocat", ...more };
}

/** Of the open host's config and its upstream. */
const OPEN_HOST: readonly Fault[] = [
  {
    name: "a host that is disabled",
    plant: () => bed.configure(OPEN, { enabled: false }),
    which: () => ({ host: OPEN }),
    failed: ["http.serves"],
    says: /enabled is false[^]*"enabled": true/,
  },
  {
    name: "maintenance",
    plant: () => bed.configure(OPEN, { maintenance: true }),
    which: () => ({ host: OPEN }),
    failed: ["http.serves"],
    says: /maintenance is true[^]*"maintenance": false/,
  },
  {
    name: "an upstream that is down",
    plant: async () => bed.configure(OPEN, { target_url: `http://127.0.0.1:${await freePort()}` }),
    which: () => ({ host: OPEN, env: bed.storeEnv }),
    failed: ["config.upstream", "mcp.initialize", "record.upstream"],
    says: /502[^]*start the MCP server[^]*502 connect from http:/,
  },
  {
    name: "an upstream that fails",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("broken") }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.initialize"],
    says: /500[^]*log of the MCP server/,
  },
  {
    name: "an upstream that is a web site",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("html") }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.initialize"],
    says: /text\/html[^]*no MCP server[^]*target_url/,
  },
  {
    name: "an upstream that refuses the public Host",
    plant: () => bed.configure(OPEN, { preserve_host_header: true }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.initialize"],
    says: /DNS rebinding[^]*"preserve_host_header": false/,
  },
  {
    name: "an upstream that asks for tokens of its own",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("own-auth") }),
    which: () => ({ host: OPEN }),
    failed: [
      "discovery.challenge",
      "discovery.resource-path",
      "discovery.resource-root",
      "discovery.oauth-server",
      "discovery.openid-server",
      "discovery.cors",
      "claude.discover",
    ],
    says: /not the instance's[^]*"auth_enabled": true/,
  },
  {
    name: "a path that the upstream does not have",
    plant: () => bed.configure(OPEN, { resource_endpoint: "/api/mcp" }),
    which: () => ({ host: OPEN, env: bed.storeEnv }),
    failed: ["mcp.initialize"],
    says: /has no \/api\/mcp[^]*resource_endpoint/,
  },
  {
    name: "streams that are dropped when idle",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("idle") }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.unknown-session", "mcp.stream"],
    says: /stream ended after 0\.\d s[^]*comment each 15 s/,
  },
  {
    name: "an upstream that buffers",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("buffering") }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.unknown-session", "mcp.stream"],
    says: /buffers[^]*proxy_buffering off/,
  },
  {
    name: "an upstream that takes a lost session for a good one",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("forgets-nothing") }),
    which: () => ({ host: OPEN }),
    failed: ["mcp.unknown-session"],
    says: /200 in place of 404[^]*update the MCP server/,
  },
  {
    name: "a clock that is an hour late",
    plant: () => bed.configure(OPEN, { target_url: bed.faulty.url("late") }),
    which: () => ({ host: OPEN }),
    failed: ["http.clock", "mcp.unknown-session"],
    says: /3[56]\d\d s behind[^]*NTP/,
  },
  {
    name: "a tool that is not there",
    plant: () => bed.configure(OPEN, {}),
    which: () => ({ host: OPEN, args: ["--tool", "no_such_tool"] }),
    failed: ["mcp.tool"],
    says: /no_such_tool[^]*name a tool/,
  },
  {
    name: "addresses that leave us out",
    plant: () => bed.configure(OPEN, { allowed_addresses: ["10.0.0.0/8"] }),
    which: () => ({ host: OPEN, env: bed.storeEnv }),
    failed: ["tls.handshake", "record.refusals"],
    says: /address_not_allowed[^]*allowed_addresses of proxy:/,
  },
  {
    name: "a config that can't be read",
    plant: () => bed.configure(OPEN, { target_url: "ftp://nowhere", colour: "blue", allowed_addresses: [] }),
    which: () => ({ host: OPEN, env: bed.storeEnv }),
    failed: ["config.host", "tls.handshake", "record.refusals"],
    says: /target_url must be http[^]*colour is not a field[^]*correct these fields/,
  },
];

/** Of instances. */
const INSTANCES: readonly Fault[] = [
  {
    name: "an instance without a certificate, behind its stand-in",
    plant: () => bed.addHost(fresh("standin"), { certificate: "stored" }),
    which: () => ({ host: fresh("standin"), env: bed.storeEnv }),
    failed: ["config.certificate", "tls.chain"],
    says: /there is no cert:standin[^]*stand-in of Gatehouse[^]*GATEHOUSE_CERTIFICATE_FILE/,
  },
  {
    name: "a protected host without a GitHub app",
    plant: () => bed.addHost(fresh("app"), { auth_enabled: true, auth_required_users: ["*"] }),
    which: () => ({ host: fresh("app") }),
    failed: ["http.serves"],
    says: /authorization_unavailable[^]*GITHUB_CLIENT_ID/,
  },
  {
    name: "an instance that does not run",
    plant: () => bed.gatehouse.instance(fresh("app")).stop(),
    which: () => ({ host: fresh("app"), env: bed.storeEnv }),
    failed: ["config.target", "tls.handshake", "record.refusals"],
    says: /instance does not run[^]*systemctl start gatehouse-instance@app/,
  },
  {
    name: "a route that leaves out the PROXY header",
    plant: async () => {
      const { store } = bed.gatehouse;
      await store.set(`proxy:${fresh("off")}`, JSON.stringify({ target_url: bed.upstream.url }));
      await bed.route(fresh("off"), `${await store.get(`route:${OPEN}`)};proxy=off`);
    },
    which: () => ({ host: fresh("off"), env: bed.storeEnv }),
    failed: ["config.route", "tls.handshake"],
    says: /has proxy=off[^]*SET route:off\.doctor\.localhost unix:/,
  },
  {
    name: "a Redis that is away, for a name the dispatcher has never seen",
    plant: () => bed.gatehouse.redis.stop(),
    which: () => ({ host: fresh("unseen") }),
    failed: ["tls.handshake"],
    says: /alert 80[^]*Redis is away/,
  },
];

/** Of the protected host's config, and of tokens. */
const PROTECTED_HOST: readonly Fault[] = [
  {
    name: "a token that has expired",
    which: () => ({ host: PROTECTED, args: ["--token", unsigned(claims({ exp: inSeconds(-60) }))] }),
    failed: ["token.claims"],
    says: /expired 6\d s ago[^]*log in again/,
  },
  {
    name: "a token for another resource",
    which: () => ({
      host: PROTECTED,
      args: ["--token", unsigned(claims({ aud: ["https://other.example"] }))],
    }),
    failed: ["token.claims"],
    says: /audience is https:\/\/other[^]*resource=https/,
  },
  {
    name: "a token that was forged or signed with another key",
    which: () => ({ host: PROTECTED, args: ["--token", unsigned(claims({}))] }),
    failed: ["token.accepted"],
    says: /401[^]*signed with a key[^]*log in again/,
  },
  {
    name: "a token of another host",
    which: async () => ({ host: PROTECTED, args: ["--token", (await bed.token(FOREIGN)).token] }),
    failed: ["token.claims"],
    says: /another host[^]*take the token from/,
  },
  {
    name: "a token that was revoked",
    which: async () => {
      const { token, revoke } = await bed.token(PROTECTED);
      await revoke();
      return { host: PROTECTED, args: ["--token", token] };
    },
    failed: ["token.accepted"],
    says: /revoked[^]*log in again/,
  },
  {
    name: "a client whose scheme is not allowed",
    which: () => ({ host: FOREIGN, args: ["--as", "cursor"] }),
    failed: ["cursor.register"],
    says: /redirect URIs is not accepted[^]*GATEHOUSE_REDIRECT_SCHEMES/,
  },
  {
    name: "a person without the scope",
    plant: () => bed.configure(PROTECTED, { oauth_mcp_users: [], oauth_admin_users: [] }),
    which: async () => ({ host: PROTECTED, args: ["--token", (await bed.token(PROTECTED)).token] }),
    failed: ["discovery.scopes", "token.accepted"],
    says: /never granted[^]*name people in oauth_mcp_users[^]*403[^]*oauth_mcp_users/,
  },
  {
    name: "nobody who may log in",
    plant: () => bed.configure(PROTECTED, { auth_required_users: [] }),
    which: () => ({ host: PROTECTED, env: bed.storeEnv }),
    failed: ["config.users"],
    says: /nobody may log in[^]*"auth_required_users": \["LOGIN"\]/,
  },
  {
    name: "an endpoint that is open by mistake",
    plant: () => bed.configure(PROTECTED, { auth_excluded_paths: ["/mcp"] }),
    which: () => ({ host: PROTECTED }),
    failed: ["http.protection"],
    says: /auth_excluded_paths covers[^]*take \/mcp out/,
  },
  {
    name: "another endpoint than the one that clients call",
    plant: () => bed.configure(PROTECTED, { resource_endpoint: "/api" }),
    which: () => ({ host: PROTECTED }),
    failed: [
      "discovery.challenge",
      "discovery.resource-path",
      "discovery.oauth-server",
      "discovery.openid-server",
    ],
    says: /"resource_endpoint": "\/mcp"/,
  },
  {
    name: "a page of another origin that may not call",
    plant: () => bed.configure(PROTECTED, { allowed_origins: ["https://app.example"] }),
    which: () => ({ host: PROTECTED, args: ["--as", "inspector"] }),
    failed: ["inspector.discover"],
    says: /localhost:6274 is not in allowed_origins[^]*add "http/,
  },
  {
    name: "a scope that is asked for and never granted",
    plant: () => bed.configure(PROTECTED, { resource_scopes: ["mcp", "secret"] }),
    which: () => ({ host: PROTECTED }),
    failed: ["discovery.scopes"],
    says: /secret is asked for[^]*auth_allowed_scopes/,
  },
];

let elsewhere: PrivateRedis;

async function issued(name: string, notAfter?: Date): Promise<{ cert: string; key: string }> {
  const { certPem, keyPem } = await bed.gatehouse.authority.issue([name], notAfter ? { notAfter } : {});
  return { cert: certPem, key: keyPem };
}

async function expectFound({ plant, which, failed, says }: Fault): Promise<void> {
  await plant?.();
  const found = await which();
  const run = await bed.run({ ...found, args: ["--as", "claude", ...(found.args ?? [])] });
  expect([...run.failed.keys()]).toEqual(failed);
  const told = [...run.failed.values()].map(({ finding, cause, fix }) => `${finding}\n${cause}\n${fix}`);
  expect(told.join("\n\n")).toMatch(says);
}

describe("on the way to the host", () => {
  test.each(WAYS)("$name", expectFound);
});

describe("behind its name", () => {
  beforeAll(async () => {
    elsewhere = await startPrivateRedis();
  });
  afterAll(async () => {
    await elsewhere?.stop();
  });
  test.each(ROUTES)("$name", expectFound);
});

describe("of an open host", () => {
  test.each(OPEN_HOST)("$name", expectFound);
});

describe("of a protected host", () => {
  test.each(PROTECTED_HOST)("$name", expectFound);
});

describe("of an instance, and of Redis at last", () => {
  test.each(INSTANCES)("$name", expectFound);
});

test("docs/doctor.md lists every step with its clause, and no other", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/doctor.md"), "utf8");
  const rows = page.split("\n").flatMap((line) => {
    const [, id, , clause] = /^\| `([^`]+)` \| (.*) \| (.*) \|$/.exec(line) ?? [];
    return id === undefined ? [] : [`${id}: ${clause}`];
  });
  const names = new Set(CLIENTS.map(({ name }) => name));
  // The same three steps are taken as each client.
  const steps = STEPS.map(({ id, clause }) => {
    const [group = "", what = ""] = id.split(".");
    return `${names.has(group) ? "CLIENT" : group}.${what}: ${clause}`;
  });
  expect(rows).toEqual([...new Set(steps)]);
});
