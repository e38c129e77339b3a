import { describe, expect, test } from "@jest/globals";
import { person } from "./support/person.ts";
import fc from "fast-check";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import type { Identity } from "../src/oauth/identity.ts";
import {
  grantableScopes,
  isNamedByLogin,
  mayLogIn,
  namedMemberships,
  needsMembership,
  offeredScopes,
  scopesFor,
} from "../src/oauth/scope.ts";

function config(fields: Record<string, unknown> = {}): HostConfig {
  const document = {
    target_url: "http://127.0.0.1:9",
    auth_enabled: true,
    auth_required_users: ["*"],
    ...fields,
  };
  const parsed = parseHostConfig(JSON.stringify(document));
  if (!parsed.ok) throw new TypeError(JSON.stringify(parsed.problems));
  return parsed.config;
}

const OIDC = {
  identity_provider: "oidc",
  oidc_issuer: "https://accounts.example",
  oidc_client_id: "gatehouse",
  oidc_client_secret: "s",
};

const SUBJECT = person({
  uid: "oidc:a-1",
  login: "ann@example.com",
  email: "ann@example.com",
  emailVerified: true,
});

describe("who may log in", () => {
  test.each<[string, readonly string[], boolean]>([
    ["an empty list admits nobody", [], false],
    ["a star admits everyone", ["*"], true],
    ["a login", ["octocat"], true],
    ["a login in other letters", ["OctoCat"], true],
    ["the beginning of a login", ["octo"], false],
    ["an id", ["id:583231"], true],
    ["another id", ["id:58323"], false],
    ["an id as a bare name", ["583231"], false],
    ["an organisation", ["org:GitHub"], true],
    ["another organisation", ["org:git"], false],
    ["a team", ["team:github/Mascots"], true],
    ["a team of that name elsewhere", ["team:other/mascots"], false],
    ["an organisation's name as a bare one", ["github"], false],
    ["an address, which GitHub does not vouch for here", ["email:octocat@github.com"], false],
    ["what only ends like an id", ["xid:583231"], false],
    ["one of several", ["hubot", "id:583231"], true],
  ])("%s", (_title, list, isAdmitted) => {
    const octocat = person({
      email: "octocat@github.com",
      emailVerified: true,
      organisations: ["acme", "github"],
      teams: ["github/mascots", "github/staff"],
    });
    expect(mayLogIn(config({ auth_required_users: list }), octocat)).toBe(isAdmitted);
  });

  test.each<[string, readonly [list: string[], who: Identity], boolean]>([
    ["a subject", [["id:a-1"], SUBJECT], true],
    ["a subject in other letters is another", [["id:A-1"], SUBJECT], false],
    ["a verified address", [["email:Ann@Example.com"], SUBJECT], true],
    ["an address nobody verified", [["email:ann@example.com"], { ...SUBJECT, emailVerified: false }], false],
    ["a bare name is nobody's", [["ann@example.com"], SUBJECT], false],
    ["an address of somebody who has none", [["email:ann@example.com"], { ...SUBJECT, email: null }], false],
    ["another address", [["email:ann@example.com"], { ...SUBJECT, email: "bob@example.com" }], false],
    ["a star", [["*"], SUBJECT], true],
  ])("OpenID Connect: %s", (_title, [list, identity], isAdmitted) => {
    expect(mayLogIn(config({ ...OIDC, auth_required_users: list }), identity)).toBe(isAdmitted);
  });

  test("letters that only Unicode folds into the listed ones are other letters", () => {
    const forged = { ...SUBJECT, email: "mar\u212a@example.com" };
    expect(mayLogIn(config({ ...OIDC, auth_required_users: ["email:mark@example.com"] }), forged)).toBe(
      false,
    );
  });

  test("an identity of a provider that the host no longer uses is nobody, even under a star", () => {
    expect(mayLogIn(config({ ...OIDC, auth_required_users: ["*", "id:583231"] }), person())).toBe(false);
    expect(mayLogIn(config(), SUBJECT)).toBe(false);
  });
});

describe("scopes", () => {
  const lists = { oauth_admin_users: ["octocat"] };

  test("come from the lists, in the order admin user mcp", () => {
    const shuffled = config({ ...lists, auth_allowed_scopes: ["mcp", "user", "admin"] });
    expect(grantableScopes(shuffled, person())).toEqual(["admin", "user", "mcp"]);
    expect(grantableScopes(shuffled, person({ uid: "github:480938", login: "hubot" }))).toEqual([
      "user",
      "mcp",
    ]);
  });

  test("a star means everyone in the scope lists too, an empty list nobody", () => {
    expect(grantableScopes(config({ oauth_admin_users: ["*"] }), person())).toContain("admin");
    expect(grantableScopes(config({ oauth_mcp_users: [] }), person())).toEqual(["user"]);
  });

  test("outside of auth_allowed_scopes are never granted", () => {
    expect(grantableScopes(config({ ...lists, auth_allowed_scopes: ["mcp", "billing"] }), person())).toEqual([
      "mcp",
    ]);
  });

  test("are none for who may not log in, whatever the scope lists say", () => {
    expect(grantableScopes(config({ ...lists, auth_required_users: ["hubot"] }), person())).toEqual([]);
  });

  test("assigned by config ignore what was asked for", () => {
    expect(scopesFor(config(lists), person(), ["mcp"])).toEqual(["admin", "user", "mcp"]);
    expect(scopesFor(config(lists), person(), undefined)).toEqual(["admin", "user", "mcp"]);
  });

  test("assigned as requested are what was asked for and the lists give", () => {
    const requested = config({ ...lists, scope_assignment: "requested" });
    expect(scopesFor(requested, person(), ["mcp", "admin"])).toEqual(["admin", "mcp"]);
    expect(scopesFor(requested, person(), undefined)).toEqual(["mcp"]);
    expect(scopesFor(requested, person(), ["openid", "profile"])).toEqual(["mcp"]);
    expect(scopesFor(requested, person({ uid: "github:1", login: "hubot" }), ["admin"])).toEqual([]);
  });

  test("offered on the consent page are those that somebody could be given", () => {
    expect(offeredScopes(config(lists), undefined)).toEqual(["admin", "user", "mcp"]);
    expect(offeredScopes(config(), undefined)).toEqual(["user", "mcp"]);
    expect(offeredScopes(config({ ...lists, scope_assignment: "requested" }), ["user"])).toEqual(["user"]);
    expect(offeredScopes(config({ ...lists, auth_allowed_scopes: ["user", "mcp"] }), undefined)).toEqual([
      "user",
      "mcp",
    ]);
  });

  test("are never wider than the offered ones, the lists and what is allowed", () => {
    const entry = fc.constantFrom("*", "octocat", "hubot", "id:583231", "org:github", "email:o@x.example");
    const list = fc.array(entry, { maxLength: 3 });
    const scopes = fc.subarray(["admin", "user", "mcp", "other"], { minLength: 1 });
    const documents = fc.record({
      auth_required_users: list,
      oauth_admin_users: list,
      oauth_user_users: list,
      oauth_mcp_users: list,
      auth_allowed_scopes: scopes,
      resource_scopes: scopes,
      scope_assignment: fc.constantFrom("config", "requested"),
    });
    const people = fc.record({
      uid: fc.constantFrom("github:583231", "github:1", "oidc:583231"),
      login: fc.constantFrom("octocat", "hubot", "stranger"),
    });
    fc.assert(
      fc.property(documents, people, fc.option(scopes, { nil: undefined }), (document, who, asked) => {
        const rules = config(document);
        const identity = person(who);
        const granted = scopesFor(rules, identity, asked);
        for (const scope of granted) {
          expect(rules.auth_allowed_scopes).toContain(scope);
          expect(grantableScopes(rules, identity)).toContain(scope);
          expect(offeredScopes(rules, asked)).toContain(scope);
        }
        if (!mayLogIn(rules, identity)) expect(granted).toEqual([]);
      }),
    );
  });
});

describe("what has to be asked and kept", () => {
  test("memberships are needed when any list names an organisation or a team", () => {
    expect(needsMembership(config({ auth_required_users: ["octocat", "*"] }))).toBe(false);
    expect(needsMembership(config({ auth_required_users: ["org:github"] }))).toBe(true);
    expect(needsMembership(config({ oauth_mcp_users: ["team:github/mascots"] }))).toBe(true);
    expect(needsMembership(config({ oauth_mcp_users: ["xorg:github"] }))).toBe(false);
    expect(needsMembership(config({ ...OIDC, auth_required_users: ["org:github"] }))).toBe(false);
  });

  test("a login is pinned only where a list names it", () => {
    expect(isNamedByLogin(config(), person())).toBe(false);
    expect(isNamedByLogin(config({ auth_required_users: ["id:583231"] }), person())).toBe(false);
    expect(isNamedByLogin(config({ oauth_admin_users: ["OCTOCAT"] }), person())).toBe(true);
    expect(isNamedByLogin(config({ oauth_admin_users: ["hubot"] }), person())).toBe(false);
    expect(isNamedByLogin(config({ ...OIDC, auth_required_users: ["octocat"] }), person())).toBe(false);
    const spelt = person({ login: "org:github" });
    expect(isNamedByLogin(config({ auth_required_users: ["org:github"] }), spelt)).toBe(false);
  });

  test("of the memberships only those that a list names are kept, in any letter case and each by its kind", () => {
    const belongsTo = {
      organisations: ["GitHub", "secret", "acme"],
      teams: ["github/mascots", "acme/staff", "acme"],
    };
    const lists = { auth_required_users: ["org:github", "octocat"], oauth_mcp_users: ["team:ACME/staff"] };
    expect(namedMemberships(config(lists), belongsTo)).toEqual({
      organisations: ["GitHub"],
      teams: ["acme/staff"],
    });
    expect(namedMemberships(config({ auth_required_users: ["acme"] }), belongsTo)).toEqual({
      organisations: [],
      teams: [],
    });
  });
});
