import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { lookup, LookupAddress } from "node:dns";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { exportJWK, generateKeyPair } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import {
  DocumentFetcher,
  isPublicAddress,
  type DocumentFetcherOptions,
} from "../src/authorization-server/document-fetch.ts";
import { clientAssertion } from "./support/client-assertion.ts";
import { Harness, PEER_FIELD, type Answer, type BrowserEnd } from "./support/authorization-server-harness.ts";

type Page = (request: IncomingMessage, response: ServerResponse) => void;

const NAME = "documents.example";
let directory: string;
let caPem: string;
let site: Server;
let port: number;
let host: Harness;
let documents: DocumentFetcherOptions;
/** What the site serves, and every request it saw. */
let pages: Record<string, Page> = {};
let seen: string[] = [];
let connections = 0;

/** Everybody lives on loopback here. */
const resolveToLoopback = lookupOf(() => [{ address: "127.0.0.1", family: 4 }]);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-documents-"));
  const authority = await createCertificateAuthority(directory);
  caPem = authority.caPem;
  const { certPem, keyPem } = await authority.issue([NAME, "127.0.0.1"]);
  site = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    seen.push(request.url ?? "");
    const page = pages[request.url ?? ""];
    if (page === undefined) response.writeHead(404).end();
    else page(request, response);
  });
  site.on("connection", () => (connections += 1));
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  ({ port } = site.address() as AddressInfo);
  documents = {
    isAllowedAddress: (address) => address === "127.0.0.1",
    lookup: resolveToLoopback,
    ca: caPem,
    fetchesPerMinute: 1000,
  };
  host = await Harness.start({ options: { documents } });
});
beforeEach(() => {
  pages = {};
  seen = [];
  connections = 0;
});
afterAll(async () => {
  await host.stop();
  site.closeAllConnections();
  site.close();
  await rm(directory, { recursive: true });
});

function lookupOf(answer: () => LookupAddress[]): typeof lookup {
  const resolve = (
    _name: string,
    _options: unknown,
    callback: (error: null, found: LookupAddress[]) => void,
  ): void => callback(null, answer());
  return resolve as unknown as typeof lookup;
}

function url(path: string): string {
  return `https://${NAME}:${port}${path}`;
}

function serve(path: string, document: object, headers: Record<string, string> = {}): string {
  pages[path] = (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ client_id: url(path), client_name: "Probe", ...document }));
  };
  return url(path);
}

async function authorize(
  clientId: string,
  redirectUri: string,
): Promise<{ end: BrowserEnd; verifier: string }> {
  const verifier = randomBytes(32).toString("base64url");
  const end = await host.authorize({
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  return { end, verifier };
}

async function redeem(
  clientId: string,
  redirectUri: string,
  extra: Record<string, string> = {},
): Promise<Answer> {
  const { end, verifier } = await authorize(clientId, redirectUri);
  return await host.post("/token", {
    grant_type: "authorization_code",
    code: end.params.get("code") ?? "",
    redirect_uri: redirectUri,
    client_id: clientId,
    code_verifier: verifier,
    ...extra,
  });
}

describe("documents of real clients", () => {
  test("Claude Code: loopback without port, no application_type, a grant type of its own", async () => {
    const id = serve("/oauth/claude-code-client-metadata", {
      client_name: "Claude Code",
      client_uri: "https://claude.ai",
      redirect_uris: ["http://localhost/callback", "http://127.0.0.1/callback"],
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
      scope: "user:profile user:inference",
    });
    const answer = await redeem(id, "http://localhost:54545/callback");
    expect(answer.status).toBe(200);
    expect(host.login.seen).toMatchObject({
      client: { id, name: "Claude Code", isMetadataDocument: true },
      redirectHost: "localhost:54545",
      isLoopbackOnly: true,
    });
    const refreshed = await host.post("/token", {
      grant_type: "refresh_token",
      refresh_token: answer.json["refresh_token"],
      client_id: id,
    });
    expect(refreshed.status).toBe(200);
    // The document was read once for all of it.
    expect(seen).toEqual(["/oauth/claude-code-client-metadata"]);
  });

  test("ChatGPT: private_key_jwt with a key set, each assertion once", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256");
    const jwk = { ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256", use: "sig" };
    pages["/jwks.json"] = (_request, response) => {
      response.writeHead(200, { "content-type": "application/jwk-set+json" });
      response.end(JSON.stringify({ keys: [jwk] }));
    };
    const redirectUri = "https://chatgpt.com/connector/oauth/abc";
    const id = serve("/oauth/abc/client.json", {
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "RS256",
      token_endpoint_auth_methods_supported: ["private_key_jwt", "none"],
      jwks_uri: url("/jwks.json"),
    });
    const assertion = { clientId: id, audience: host.origin, kid: "k1", jti: randomUUID(), privateKey };
    const proof = await clientAssertion(assertion);
    expect((await redeem(id, redirectUri)).json["error"]).toBe("invalid_client");
    expect((await redeem(id, redirectUri, proof)).status).toBe(200);
    expect((await redeem(id, redirectUri, proof)).json["error"]).toBe("invalid_client");
  });

  test("one that names no method is public", async () => {
    const id = serve("/plain.json", { redirect_uris: ["https://client.example/cb"] });
    expect((await redeem(id, "https://client.example/cb")).status).toBe(200);
  });

  test("redirect URIs are held to the same policy, and matched with the document", async () => {
    const bad = serve("/bad.json", { redirect_uris: ["http://evil.example/cb"] });
    expect((await authorize(bad, "http://evil.example/cb")).end.location).toBeUndefined();
    const good = serve("/good.json", { redirect_uris: ["https://client.example/cb"] });
    expect((await authorize(good, "https://client.example/other")).end.location).toBeUndefined();
  });
});

describe("a document that is refused sends nobody anywhere", () => {
  const redirect = "https://client.example/cb";
  const cases: [name: string, path: string, page: () => Page][] = [
    [
      "another client_id",
      "/a",
      () => answer({ client_id: "https://other.example/a", client_name: "x", redirect_uris: [redirect] }),
    ],
    ["no name", "/b", () => answer({ client_id: url("/b"), redirect_uris: [redirect] })],
    ["no redirect URIs", "/c", () => answer({ client_id: url("/c"), client_name: "x" })],
    [
      "a secret",
      "/d",
      () => answer({ client_id: url("/d"), client_name: "x", redirect_uris: [redirect], client_secret: "s" }),
    ],
    [
      "a shared-secret method",
      "/e",
      () =>
        answer({
          client_id: url("/e"),
          client_name: "x",
          redirect_uris: [redirect],
          token_endpoint_auth_method: "client_secret_post",
        }),
    ],
    [
      "another type",
      "/f",
      () => answer({ client_id: url("/f"), client_name: "x", redirect_uris: [redirect] }, "text/html"),
    ],
    [
      "no JSON",
      "/g",
      () => (_request, response) => response.writeHead(200, { "content-type": "application/json" }).end("{"),
    ],
    ["status 500", "/h", () => (_request, response) => response.writeHead(500).end()],
    [
      "a redirect to a private address",
      "/i",
      () => (_request, response) =>
        response.writeHead(302, { location: `https://127.0.0.1:${port}/j` }).end(),
    ],
    [
      "more than 5 KiB, said",
      "/k",
      () => answer({ client_id: url("/k"), client_name: "x".repeat(6000), redirect_uris: [redirect] }),
    ],
    [
      "more than 5 KiB, unsaid",
      "/l",
      () => (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write(JSON.stringify({ client_id: url("/l") }));
        response.end(" ".repeat(6000));
      },
    ],
  ];

  function answer(document: object, type = "application/json"): Page {
    return (_request, response) =>
      response.writeHead(200, { "content-type": type }).end(JSON.stringify(document));
  }

  test.each(cases)("%s", async (_name, path, page) => {
    pages[path] = page();
    const { end } = await authorize(url(path), redirect);
    expect(end.location).toBeUndefined();
    expect(end.answer.status).toBe(400);
    expect(seen).toEqual([path]);
  });

  test.each([
    ["no path", () => `https://${NAME}:${port}`],
    ["the root as path", () => `https://${NAME}:${port}/`],
    ["dot segments", () => `https://${NAME}:${port}/a/../b`],
    ["encoded dot segments", () => `https://${NAME}:${port}/a/%2e%2e/b`],
    ["a fragment", () => `https://${NAME}:${port}/a#b`],
    ["userinfo", () => `https://user@${NAME}:${port}/a`],
    ["a scheme in capitals", () => `HTTPS://${NAME}:${port}/a`],
    ["http", () => `http://${NAME}:${port}/a`],
  ])("an id with %s is never fetched", async (_name, id) => {
    const { end } = await authorize(id(), redirect);
    expect(end.location).toBeUndefined();
    expect(connections).toBe(0);
  });

  test.each(["headers", "body"])(
    "a site whose %s never end is given up within three seconds",
    async (part) => {
      pages["/slow"] = (_request, response) => {
        if (part === "headers") return;
        response.writeHead(200, { "content-type": "application/json" });
        response.write("{");
      };
      const started = performance.now();
      const { end } = await authorize(url("/slow"), redirect);
      expect(end.answer.status).toBe(400);
      expect(performance.now() - started).toBeLessThan(10_000);
    },
  );

  test("an error is not kept: the next attempt asks again", async () => {
    pages["/m"] = (_request, response) => response.writeHead(503).end();
    expect((await authorize(url("/m"), redirect)).end.location).toBeUndefined();
    serve("/m", { redirect_uris: [redirect] });
    expect((await authorize(url("/m"), redirect)).end.params.get("code")).toBeTruthy();
  });
});

describe("the guard of the fetcher", () => {
  test.each([
    "127.0.0.1",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
    "2001::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "ff02::1",
    "localhost",
    "",
  ])("%s is no place on the internet", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each(["93.184.215.14", "160.79.104.10", "2606:4700::1111", "2a00:1450:4001::1"])(
    "%s is",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  test.each([
    ["an IPv4 literal", () => `https://127.0.0.1:${port}/a`],
    ["an IPv4-mapped IPv6 literal", () => `https://[::ffff:127.0.0.1]:${port}/a`],
    ["an IPv4 literal in disguise", () => `https://0x7f000001:${port}/a`],
    ["a decimal one", () => `https://2130706433:${port}/a`],
  ])("%s of this machine is refused without a connection", async (_name, id) => {
    const fetcher = new DocumentFetcher({ ca: caPem });
    expect(fetcher.isFetchable(id())).toBe(false);
    await expect(fetcher.document(id())).rejects.toThrow(/may not be connected to/);
    expect(connections).toBe(0);
    await fetcher.close();
  });

  test("a name that resolves to a private address is refused without a connection", async () => {
    const fetcher = new DocumentFetcher({ lookup: resolveToLoopback, ca: caPem });
    await expect(fetcher.document(url("/a"))).rejects.toThrow(/fetch failed/);
    expect(connections).toBe(0);
    await fetcher.close();
  });

  test("so is one that mixes it with a public one", async () => {
    const mixed = lookupOf(() => [
      { address: "93.184.215.14", family: 4 },
      { address: "127.0.0.1", family: 4 },
    ]);
    const fetcher = new DocumentFetcher({ lookup: mixed, ca: caPem });
    await expect(fetcher.document(url("/a"))).rejects.toThrow(/fetch failed/);
    expect(connections).toBe(0);
    await fetcher.close();
  });

  test("DNS rebinding: the address that was looked at is the one connected to, the name is asked once", async () => {
    serve("/a", {});
    let asked = 0;
    const rebinding = lookupOf(() => {
      asked += 1;
      // The site first, which the policy allows here; whoever asks again is sent elsewhere.
      return [{ address: asked === 1 ? "127.0.0.1" : "127.0.0.2", family: 4 }];
    });
    const looked: string[] = [];
    const fetcher = new DocumentFetcher({
      lookup: rebinding,
      ca: caPem,
      isAllowedAddress: (address) => {
        looked.push(address);
        return address === "127.0.0.1";
      },
    });
    expect((await fetcher.document(url("/a"))).status).toBe(200);
    expect([asked, looked, connections]).toEqual([1, ["127.0.0.1"], 1]);
    // A second document makes its own connection with its own look.
    await expect(fetcher.document(url("/a"))).rejects.toThrow(/fetch failed/);
    expect(connections).toBe(1);
    await fetcher.close();
  });

  test.each(["document", "keySet"] as const)(
    "a %s that unpacks to megabytes is left where it is too much",
    async (kind) => {
      pages["/bomb"] = (_request, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
        response.end(gzipSync(Buffer.alloc(50_000_000, " ")));
      };
      const fetcher = new DocumentFetcher(documents);
      await expect(fetcher[kind](url("/bomb"))).rejects.toThrow(/too large/);
      await fetcher.close();
    },
  );
});

describe("fetches within a minute", () => {
  const redirect = "https://client.example/cb";
  const elsewhere = "198.51.100.1";
  let limited: Harness;
  beforeEach(async () => {
    limited = await Harness.start({ options: { documents: { ...documents, fetchesPerMinute: 6 } } });
  });
  afterEach(async () => {
    await limited.stop();
  });

  async function start(clientId: string, ip = "192.0.2.1"): Promise<Answer> {
    const parameters = new URLSearchParams({
      response_type: "code",
      client_id: clientId,
      redirect_uri: redirect,
      code_challenge: "x".repeat(43),
      code_challenge_method: "S256",
    });
    return await limited.request(`/authorize?${parameters.toString()}`, { headers: { [PEER_FIELD]: ip } });
  }

  /** Metadata documents until the address has had its part. */
  async function useUp(ip: string): Promise<Answer> {
    for (let count = 0; ; count += 1) {
      const answer = await start(url(`/none-${count}`), ip);
      if (answer.status !== 400) return answer;
    }
  }

  test("are a part of what there is for one address, which is told to try again", async () => {
    const refused = await useUp("192.0.2.1");
    expect(refused.status).toBe(503);
    expect(refused.text).toContain("temporarily_unavailable");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(seen).toHaveLength(2);
    const ended = limited.records.filter(({ event }) => event === "request_ended");
    expect(ended.at(-1)).toMatchObject({ status: 503, reason: "temporarily_unavailable (RFC 6749 4.1.2.1)" });
    const id = serve("/honest.json", { redirect_uris: [redirect] });
    expect((await start(id, elsewhere)).status).toBe(303);
  });

  test("that are used up by many addresses leave every other its own", async () => {
    for (const last of [1, 2, 3, 4]) await useUp(`192.0.2.${last}`);
    const id = serve("/honest.json", { redirect_uris: [redirect] });
    expect((await start(id, elsewhere)).status).toBe(303);
  });

  test("a document that was known is good for a refresh and a consent page when its peer may have nothing fetched", async () => {
    const id = serve("/known.json", { redirect_uris: [redirect] });
    const verifier = randomBytes(32).toString("base64url");
    const code_challenge = createHash("sha256").update(verifier).digest("base64url");
    const asked = { response_type: "code", client_id: id, redirect_uri: redirect, code_challenge };
    const { params } = await limited.authorize({ ...asked, code_challenge_method: "S256" });
    const form = { client_id: id, redirect_uri: redirect, code_verifier: verifier };
    const code = params.get("code") ?? "";
    const tokens = await limited.post("/token", { ...form, grant_type: "authorization_code", code });
    const refresh_token = tokens.json["refresh_token"] as string;
    await forgetDocuments();
    await useUp("34.162.102.82");
    const refresh = { client_id: id, grant_type: "refresh_token", refresh_token };
    expect((await limited.post("/token", refresh)).status).toBe(200);
    await forgetDocuments();
    const again = await limited.authorize({ ...asked, code_challenge_method: "S256" });
    expect(again.params.get("code")).toBeTruthy();
    const unknown = await limited.post("/token", { ...refresh, client_id: url("/unknown.json") });
    expect([unknown.status, unknown.json["error"]]).toEqual([503, "temporarily_unavailable"]);
  });

  test("count key sets", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    const client = await limited.register({
      redirect_uris: [redirect],
      token_endpoint_auth_method: "private_key_jwt",
      jwks_uri: url("/no-keys.json"),
    });
    const clientId = client.json["client_id"] as string;
    const ask = async (): Promise<number> => {
      const assertion = { clientId, audience: limited.origin, kid: "k", jti: randomUUID(), privateKey };
      const proof = await clientAssertion(assertion);
      return (await limited.post("/token", { grant_type: "refresh_token", refresh_token: "x", ...proof }))
        .status;
    };
    const statuses = [await ask(), await ask(), await ask(), await ask()];
    expect(statuses).toEqual([401, 401, 503, 503]);
    expect(seen).toEqual(["/no-keys.json", "/no-keys.json"]);
  });

  /** Another signing key makes another engine, which knows no document yet. */
  async function forgetDocuments(): Promise<void> {
    const { redis, hostname, secret, server } = limited;
    const sealing = SealingKeys.parse(secret, [])?.forHostname(hostname);
    if (sealing === undefined) throw new TypeError("bad secret");
    await rotateSigningKeys({ redis, hostname, sealing }, 1800);
    server.signingKeysTold(await redis.get(server.signingKeys.key));
  }
});
