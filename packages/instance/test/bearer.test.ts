/** What a request shows as its credentials (RFC 6750 section 2), read without a wire. */
import { describe, expect, test } from "@jest/globals";
import { readBearer } from "../src/protected-resource/bearer.ts";

describe("a token", () => {
  test.each([
    ["Bearer abc", "abc"],
    ["bearer abc", "abc"],
    ["BEARER   abc  ", "abc"],
    ["Bearer a.B-9_~+/==", "a.B-9_~+/=="],
    ["Bearer x", "x"],
  ])("%j is read whole", (credentials, token) => {
    expect(readBearer([credentials], "")).toEqual({ kind: "token", token });
  });

  test.each(["?x=1", "?access_tokens=1", "?x=access_token", "?"])(
    "%s beside it is the upstream's",
    (query) => {
      expect(readBearer(["Bearer abc"], query)).toEqual({ kind: "token", token: "abc" });
    },
  );
});

describe("none", () => {
  test.each([
    [[]],
    [[""]],
    [["Basic abc"]],
    [["DPoP abc"]],
    [["Bearerabc"]],
    [["XBearer abc"]],
    [["Basic bearer abc"]],
  ])("%j", (authorization) => {
    expect(readBearer(authorization, "")).toEqual({ kind: "missing" });
    expect(readBearer(authorization, "?access_token=abc")).toEqual({ kind: "missing" });
  });
});

describe("an error (RFC 6750 section 3.1)", () => {
  test.each([
    "Bearer",
    "Bearer ",
    "bearer =",
    "Bearer abc def",
    "Bearer abc, Bearer def",
    'Bearer a"b',
    "Bearer abc\t",
    "Bearer abc=x",
    "Bearer \u00e9",
    "Bearer \u212a",
  ])("%j holds no token", (credentials) => {
    expect(readBearer([credentials], "")).toEqual({
      kind: "malformed",
      problem: "no token behind Bearer",
    });
  });

  test("two fields are one too many, whatever they hold", () => {
    const problem = { kind: "malformed", problem: "more than one Authorization field" };
    expect(readBearer(["Bearer abc", "Bearer abc"], "")).toEqual(problem);
    expect(readBearer(["Basic abc", "Bearer abc"], "")).toEqual(problem);
    expect(readBearer(["Bearer abc", ""], "")).toEqual(problem);
  });

  test.each(["?access_token=abc", "?x=1&access%5Ftoken=abc", "?access_token", "access_token="])(
    "a second token in %s",
    (query) => {
      expect(readBearer(["Bearer abc"], query)).toEqual({
        kind: "malformed",
        problem: "a second token in the query",
      });
    },
  );
});
