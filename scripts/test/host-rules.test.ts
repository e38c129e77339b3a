/** What the command line refuses in a host config beyond what an instance would (contract section 4). */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { parseWritable, type HostDocument } from "../hosts/host-document.ts";
import { CommandBed } from "./support/command-bed.ts";

const HOST = "a.localhost";
const OPEN = { target_url: "http://127.0.0.1:9" };
const OIDC = {
  ...OPEN,
  identity_provider: "oidc",
  oidc_issuer: "https://issuer.example",
  oidc_client_id: "a",
  oidc_client_secret: "b",
};

function problemKeys(document: HostDocument, stored?: HostDocument): string[] {
  // An instance takes it: what serves with it today goes on.
  expect(parseHostConfig(JSON.stringify(document)).ok).toBe(true);
  const parsed = parseWritable(document, stored);
  return parsed.ok ? [] : parsed.problems.map(({ key }) => key);
}

describe("entries of the user lists", () => {
  test.each([
    "*",
    "octocat",
    "octo-cat",
    "octocat_company",
    "id:583231",
    "org:example",
    "team:example/a-team",
  ])("%s may be named with github", (entry) =>
    expect(problemKeys({ ...OPEN, auth_required_users: [entry], oauth_admin_users: [entry] })).toEqual([]),
  );

  test.each([
    "id:abc",
    "id:",
    "id:007",
    "team:foo",
    "team:/a",
    "team:a/",
    "team:a/b/c",
    "org:",
    "org:a b",
    "email:x@y.z",
    "foo:bar",
    "github:583231",
    "not a login!",
    "ID:583231",
    "**",
  ])("%s matches nobody with github", (entry) =>
    expect(
      problemKeys({ ...OPEN, auth_required_users: ["octocat", entry], oauth_mcp_users: [entry] }),
    ).toEqual(["auth_required_users.1", "oauth_mcp_users.0"]),
  );

  test.each(["*", "id:00u1a2b3|x", "email:octocat@github.example"])("%s may be named with oidc", (entry) =>
    expect(problemKeys({ ...OIDC, auth_required_users: [entry] })).toEqual([]),
  );

  test.each(["octocat", "id:", "email:octocat", "email:@", "org:example", "team:a/b", "mail:a@b.c"])(
    "%s matches nobody with oidc",
    (entry) =>
      expect(problemKeys({ ...OIDC, auth_required_users: [entry] })).toEqual(["auth_required_users.0"]),
  );
});

describe("other fields", () => {
  test("scopes outside auth_allowed_scopes", () => {
    const document = {
      ...OPEN,
      auth_allowed_scopes: ["user"],
      resource_scopes: ["user", "mcp"],
      scope_rules: [{ scope: "user" }, { scope: "admin" }],
    };
    expect(problemKeys(document)).toEqual(["resource_scopes.1", "scope_rules.1.scope"]);
  });

  test("headers that are never sent, however they are spelt", () => {
    const headers = { "X-Auth-User": "root", "content-length": "1", "X-Api-Key": "k", Host: "b.example" };
    expect(problemKeys({ ...OPEN, custom_headers: headers })).toEqual([
      "custom_headers.X-Auth-User",
      "custom_headers.content-length",
    ]);
  });

  test("an authority that is no certificate within its frame", async () => {
    const framed = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n";
    expect(problemKeys({ ...OPEN, target_ca_pem: framed })).toEqual(["target_ca_pem"]);
    const directory = await mkdtemp("/tmp/gatehouse-rules-");
    const { caPem } = await createCertificateAuthority(directory);
    expect(problemKeys({ ...OPEN, target_ca_pem: caPem })).toEqual([]);
    await rm(directory, { recursive: true });
  });

  test("what stands there already is no reason to refuse another change", () => {
    const stored = { ...OPEN, auth_required_users: ["foo:bar"] };
    expect(problemKeys({ ...stored, maintenance: true }, stored)).toEqual([]);
    expect(problemKeys({ ...stored, oauth_admin_users: ["foo:bar"] }, stored)).toEqual([
      "oauth_admin_users.0",
    ]);
  });
});

describe("at the command line", () => {
  let bed: CommandBed;
  let directory: string;
  beforeAll(async () => {
    bed = await CommandBed.open();
    directory = await mkdtemp("/tmp/gatehouse-rules-");
  });
  beforeEach(async () => {
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify(OPEN));
  });
  afterAll(async () => {
    await bed?.close();
    await rm(directory, { recursive: true, force: true });
  });

  test("host set and host add list every problem, write nothing and end with 78", async () => {
    const fields = [
      "--auth",
      "--require",
      "foo:bar",
      "--admin",
      "team:foo",
      "--set",
      'resource_scopes=["x"]',
    ];
    for (const command of [
      ["host", "set", HOST],
      ["host", "add", "b.localhost", "--target", OPEN.target_url],
    ]) {
      const { status, err } = bed.run(...command, ...fields);
      expect([status, err]).toEqual([78, expect.stringMatching(/auth_required_users\.0: must be a login/)]);
      expect(err).toMatch(/oauth_admin_users\.0: [^]*resource_scopes\.0: must be one of auth_allowed_scopes/);
    }
    expect(await bed.redis.get(`proxy:${HOST}`)).toBe(JSON.stringify(OPEN));
    expect(await bed.redis.exists("proxy:b.localhost")).toBe(0);
  });

  test("config apply too; host show tells of what stands there", async () => {
    const config = { ...OPEN, auth_required_users: ["foo:bar"] };
    const file = join(directory, "hosts.json");
    await writeFile(file, JSON.stringify({ format: "gatehouse-config/1", hosts: { [HOST]: { config } } }));
    const applied = bed.run("config", "apply", file, "--yes", "--no-start");
    expect([applied.status, applied.err]).toEqual([
      78,
      expect.stringContaining(`${HOST}: auth_required_users.0: must be`),
    ]);
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify(config));
    expect(bed.run("host", "show", HOST).out).toContain("problem: auth_required_users.0: must be a login");
    expect(bed.run("host", "set", HOST, "--set", "maintenance=true").status).toBe(0);
    expect(bed.run("config", "apply", file, "--yes", "--no-start").status).toBe(0);
  });
});
