/** The tokens that were found good: kept by hash, found by `jti` and client, bounded. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { SeenTokens, type SeenToken } from "../src/oauth/seen-tokens.ts";

let seen: SeenTokens;
beforeEach(() => {
  seen = new SeenTokens(4);
});

function entry(jti: string, clientId = "client"): SeenToken {
  return {
    token: {
      jti,
      sub: "octocat",
      uid: "github:583231",
      clientId,
      scopes: ["mcp"],
      email: null,
      exp: 1,
      audience: ["https://app.example"],
      identity: undefined,
    },
    isConfirmed: true,
  };
}

/** Adds tokens whose hash is `#` and their `jti`. */
function add(...jtis: string[]): void {
  for (const jti of jtis) seen.add(`#${jti}`, entry(jti));
}

describe("a token", () => {
  test("is found by hash and by jti, and its client's tokens by the client", () => {
    const a = entry("a", "one");
    seen.add("#a", a);
    seen.add("#b", entry("b", "one"));
    seen.add("#c", entry("c", "other"));
    expect(seen.get("#a")).toBe(a);
    expect(seen.find("a")).toBe(a);
    expect([seen.jtisOf("one"), seen.jtisOf("other"), seen.jtisOf("third")]).toEqual([["a", "b"], ["c"], []]);
    expect(seen.size).toBe(3);
    expect([seen.get("a"), seen.find("#a"), seen.find("x")]).toEqual([undefined, undefined, undefined]);
  });

  test("that is deleted is found no way, and others are", () => {
    add("a", "b");
    seen.delete("a");
    expect([seen.get("#a"), seen.find("a")]).toEqual([undefined, undefined]);
    expect(seen.jtisOf("client")).toEqual(["b"]);
    expect(seen.size).toBe(1);
    expect(seen.find("b")).toBeDefined();
    seen.delete("b");
    expect(seen.jtisOf("client")).toEqual([]);
    // Its hash is forgotten as well: whatever comes under that again is not it.
    seen.add("#a", entry("z"));
    expect(seen.find("a")).toBeUndefined();
  });

  test("that is not there can be deleted, and comes again after", () => {
    add("a");
    seen.delete("x");
    expect(seen.size).toBe(1);
    seen.delete("a");
    seen.delete("a");
    add("a");
    expect([seen.size, seen.jtisOf("client")]).toEqual([1, ["a"]]);
    expect(seen.find("a")).toBeDefined();
  });
});

describe("one more than fit", () => {
  test("drops the oldest from everything", () => {
    add("a", "b", "c", "d", "e");
    expect(seen.size).toBe(4);
    expect([seen.get("#a"), seen.find("a")]).toEqual([undefined, undefined]);
    expect(seen.jtisOf("client")).toEqual(["b", "c", "d", "e"]);
  });

  test("drops one that was not used; a look is no use", () => {
    add("a", "b", "c", "d");
    seen.used("#a");
    seen.get("#b");
    seen.find("b");
    add("e");
    expect(seen.jtisOf("client")).toEqual(["a", "c", "d", "e"]);
    expect([seen.find("a") === undefined, seen.find("b") === undefined]).toEqual([false, true]);
  });
});

test("distrust is for all that are kept then, and keeps them", () => {
  add("a", "b");
  seen.distrust();
  add("c");
  expect(["a", "b", "c"].map((jti) => seen.find(jti)?.isConfirmed)).toEqual([false, false, true]);
});

test("clear leaves nothing, by no key", () => {
  add("a", "b");
  seen.clear();
  expect([seen.size, seen.get("#a"), seen.find("a"), seen.jtisOf("client")]).toEqual([
    0,
    undefined,
    undefined,
    [],
  ]);
  // A hash that is there again must not bring back what was known about it.
  seen.add("#a", entry("z"));
  expect(seen.find("a")).toBeUndefined();
});
