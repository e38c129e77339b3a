import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { hashSecret } from "@gatehouse/shared/client-record";
import { CommandBed } from "./support/command-bed.ts";

const ONE = "one.example.com";
const TWO = "two.example.com";
const DOCUMENT_CLIENT = "https://client.example/metadata.json";
let bed: CommandBed;

beforeAll(async () => {
  bed = await CommandBed.open();
});
beforeEach(seed);
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
});

/** Records as an instance writes them: two hosts, three clients (one by its metadata document), two people. */
async function seed(): Promise<void> {
  await client(ONE, "client_a", "Claude \u001b[31mred\u009b0m\u202e");
  await client(TWO, "client_b", "Other");
  await grant({ id: "grant-a", hostname: ONE, client: "client_a", login: "octocat", uid: "github:1" });
  await grant({ id: "grant-b", hostname: TWO, client: "client_b", login: "hubot", uid: "github:2" });
  await grant({ id: "grant-c", hostname: TWO, client: DOCUMENT_CLIENT, login: "OctoCat", uid: "github:1" });
}

async function client(hostname: string, id: string, name: string): Promise<void> {
  const record = {
    hostname,
    client_id: id,
    client_name: name,
    redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
    registration_client_uri: `https://${hostname}/register/${id}`,
    client_secret_hash: hashSecret("the-secret"),
    registration_access_token_hash: hashSecret("the-registration-token"),
    usage_count: 1,
    last_token_issued: 1_756_541_222,
  };
  await bed.redis.set(`oauth:client:${id}`, JSON.stringify(record));
}

interface Given {
  readonly id: string;
  readonly hostname: string;
  readonly client: string;
  readonly login: string;
  readonly uid: string;
}

async function grant({ id, hostname, client: clientId, login, uid }: Given): Promise<void> {
  const { redis } = bed;
  const resources = { [`https://${hostname}`]: "user mcp" };
  const payload = { kind: "Grant", clientId, accountId: uid, iat: 1_756_541_000, resources };
  await redis.set(`oauth:grant:${id}`, JSON.stringify({ hostname, payload }), "EX", 1000);
  const identity = {
    hostname,
    uid,
    login,
    email: null,
    email_verified: false,
    organisations: [],
    teams: [],
    checked_at: 1,
  };
  await redis.set(
    `oauth:identity:${id}`,
    JSON.stringify({ ...identity, membership_token: "v1.sealed.token" }),
  );
  const jti = `jti-${id}`;
  const token = {
    hostname,
    jti,
    sub: login,
    uid,
    client_id: clientId,
    scope: "user mcp",
    aud: [`https://${hostname}`],
  };
  const times = { iss: `https://${hostname}`, iat: 1_756_541_000, exp: 1_756_542_800, grant_id: id };
  await redis.set(`oauth:token:${jti}`, JSON.stringify({ ...token, ...times }));
  await redis.set(`oauth:refresh:hash-${id}`, JSON.stringify({ hostname }));
  await redis.zadd(`oauth:grant-members:${id}`, 1, `oauth:token:${jti}`, 1, `oauth:refresh:hash-${id}`);
  await redis.zadd(`oauth:client-grants:${hostname}:${clientId}`, 1, id);
}

const ID = { client: "client_id", token: "jti", grant: "grant_id" } as const;

function ids(noun: keyof typeof ID, ...args: string[]): string[] {
  const found = bed.json(noun, "list", ...args).map((item) => String(item[ID[noun]]));
  return found.sort((one, other) => (one < other ? -1 : 1));
}

describe("listing", () => {
  test.each<[keyof typeof ID, string[], string[]]>([
    ["client", [], ["client_a", "client_b"]],
    ["client", ["--hostname", ONE], ["client_a"]],
    ["client", ["--user", "HUBOT"], ["client_b"]],
    ["client", ["--client", "client_b", "--hostname", ONE], []],
    ["token", [], ["jti-grant-a", "jti-grant-b", "jti-grant-c"]],
    ["token", ["--user", "octocat"], ["jti-grant-a", "jti-grant-c"]],
    ["token", ["--user", "github:2"], ["jti-grant-b"]],
    ["token", ["--client", DOCUMENT_CLIENT], ["jti-grant-c"]],
    ["grant", ["--hostname", "Two.example.com"], ["grant-b", "grant-c"]],
    ["grant", ["--user", "octocat", "--hostname", TWO], ["grant-c"]],
    ["grant", ["--user", "nobody"], []],
  ])("%s list %j finds %j", (noun, args, expected) => {
    expect(ids(noun, ...args)).toEqual(expected);
  });

  test("no hash, no sealed value, nothing that drives a terminal", () => {
    for (const noun of ["client", "token", "grant"]) {
      for (const { out } of [bed.run(noun, "list"), bed.run(noun, "list", "--json")])
        expect(out).not.toMatch(/sha256|_hash|sealed|membership|\u001b|\u009b|\u202e/);
    }
    const shown = bed.run("client", "show", "client_a");
    expect(JSON.parse(shown.out)).toMatchObject({ client_id: "client_a", grants: 1, usage_count: 1 });
    expect(shown.out).not.toMatch(/_hash|sha256|\u001b|\u009b|\u202e/);
    expect(JSON.parse(shown.out)).toMatchObject({ client_name: "Claude \u001b[31mred\u009b0m\u202e" });
    expect(bed.run("client", "list").out).toContain("Claude \\u001b[31mred");
    expect(bed.json("grant", "show", "grant-a")).toEqual([
      expect.objectContaining({ user: "octocat", scope: "user mcp", holds: { token: 1, refresh: 1 } }),
    ]);
    expect(bed.json("token", "show", "jti-grant-b")).toEqual([
      expect.objectContaining({ sub: "hubot", exp: 1_756_542_800 }),
    ]);
  });

  test("a page is bounded, and says that there is more", () => {
    const { out, err } = bed.run("token", "list", "--limit", "2");
    expect(out.trimEnd().split("\n")).toHaveLength(3);
    expect(err).toContain("more than 2");
    expect(bed.run("token", "list", "--limit", "3").err).toBe("");
    expect(bed.run("token", "list", "--limit", "0").status).toBe(2);
  });

  test("foreign values under our prefixes are passed over", async () => {
    await bed.redis.mset({
      "oauth:client:x": "not json",
      "oauth:token:x": "{}",
      "oauth:grant:x": '{"hostname":7}',
    });
    expect(ids("client")).toHaveLength(2);
    expect(ids("token")).toHaveLength(3);
    expect(ids("grant")).toHaveLength(3);
  });

  test("finds every one of a thousand", async () => {
    for (let i = 0; i < 1000; i += 1) await client(ONE, `many_${i}`, "x");
    expect(ids("client", "--limit", "2000")).toHaveLength(1002);
  });
});

describe("revoking", () => {
  test("a token ends alone; its grant stays", async () => {
    expect(bed.run("token", "revoke", "jti-grant-a")).toMatchObject({ status: 0, out: "1 token revoked\n" });
    expect(bed.run("token", "revoke", "jti-grant-a")).toMatchObject({
      status: 0,
      out: "no such token (any more): nothing to revoke\n",
    });
    expect(ids("grant")).toContain("grant-a");
    expect(bed.run("token", "show", "jti-grant-a").status).toBe(1);
  });

  test("an id may begin with dashes", async () => {
    const text = (await bed.redis.get("oauth:token:jti-grant-a")) ?? "";
    await bed.redis.set("oauth:token:--8N", text.replace('"jti-grant-a"', '"--8N"'));
    expect(bed.json("token", "show", "--8N")).toEqual([expect.objectContaining({ jti: "--8N" })]);
    expect(bed.json("token", "list", "--client", "-x")).toEqual([]);
    expect(bed.json("token", "revoke", "--8N")).toEqual([{ revoked: 1 }]);
  });

  test("a grant ends with all that was issued on it", async () => {
    expect(bed.json("grant", "revoke", "grant-b")).toEqual([{ revoked: 1 }]);
    expect((await bed.redis.keys("*grant-b*")).filter((key) => !key.includes("client-grants"))).toEqual([]);
    expect(ids("token")).toEqual(["jti-grant-a", "jti-grant-c"]);
    expect(bed.json("grant", "revoke", "grant-b")).toEqual([{ revoked: 0 }]);
  });

  test("a client ends with its grants, one by its metadata document too", async () => {
    expect(bed.json("client", "revoke", "client_a")).toEqual([{ revoked: 1 }]);
    expect(bed.json("client", "revoke", DOCUMENT_CLIENT)).toEqual([{ revoked: 1 }]);
    expect(ids("token")).toEqual(["jti-grant-b"]);
    expect(await bed.redis.exists("oauth:client:client_a")).toBe(0);
    expect(bed.json("client", "revoke", "client_a")).toEqual([{ revoked: 0 }]);
  });

  test("everything of a user, after a question", async () => {
    const asked = bed.run("grant", "revoke", "--user", "octocat");
    expect([asked.status, asked.err]).toEqual([2, expect.stringContaining("Revoke 2 grants? Say --yes")]);
    expect(ids("grant")).toHaveLength(3);
    expect(bed.json("grant", "revoke", "--user", "octocat", "--yes")).toEqual([{ revoked: 2 }]);
    expect(ids("token")).toEqual(["jti-grant-b"]);
    expect(bed.json("grant", "revoke", "--user", "octocat")).toEqual([{ revoked: 0 }]);
  });

  test.each([
    [["grant", "revoke"], "either an id, or one of"],
    [["grant", "revoke", "grant-a", "--user", "octocat"], "either an id, or one of"],
    [["token", "revoke", "--hostname", "not a name"], "is no hostname"],
    [["client", "show"], "client show takes CLIENT_ID"],
  ])("%j is a usage error", (args, message) => {
    const { status, err } = bed.run(...args);
    expect([status, err]).toEqual([2, expect.stringContaining(message)]);
    expect(ids("grant")).toHaveLength(3);
  });
});
