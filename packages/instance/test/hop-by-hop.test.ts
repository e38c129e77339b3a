/** Fields of one connection, which never travel further (RFC 9110 section 7.6.1). */
import { describe, expect, test } from "@jest/globals";
import { isHopByHop, nominatedNames, withoutNames } from "../src/hop-by-hop.ts";

test.each([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
])("%s belongs to one connection", (name) => {
  expect(isHopByHop(name)).toBe(true);
});

test.each(["trailer", "host", "content-length", "x-upgrade", ""])("%j does not", (name) => {
  expect(isHopByHop(name)).toBe(false);
});

describe("what Connection takes away", () => {
  test.each([
    ["x-hop", ["x-hop"]],
    ["X-Hop, \tX-Other ,x-hop", ["x-hop", "x-other"]],
    ["close, X-Hop", ["x-hop"]],
    ["Upgrade, X-Hop, Keep-Alive", ["x-hop"]],
    [" ,, X-Hop,", ["x-hop"]],
    ["closed", ["closed"]],
  ])("%j takes %p", (value, names) => {
    expect([...(nominatedNames(value) ?? [])]).toEqual(names);
  });

  test.each(["", " , ", "close", "Close", "keep-alive", "host", "Content-Length", "trailer", "TE"])(
    "%j takes nothing that would not go anyway, or that the message needs",
    (value) => {
      expect(nominatedNames(value)).toBeUndefined();
    },
  );
});

describe("a list of fields without some names", () => {
  const gone = new Set(["x-hop"]);

  test("keeps order, letter case, duplicates and empty values of all others", () => {
    const fields = ["X-A", "1", "x-HOP", "2", "x-a", "", "X-Hop", "X-A", "x-b", "x-hop"];
    expect(withoutNames(fields, gone)).toEqual(["X-A", "1", "x-a", "", "x-b", "x-hop"]);
  });

  test("is the same list where none of them is there", () => {
    expect(withoutNames(["X-A", "1"], gone)).toEqual(["X-A", "1"]);
    expect(withoutNames([], gone)).toEqual([]);
  });

  test("has no name without a value", () => {
    expect(withoutNames(["X-A", "1", "X-B"], gone)).toEqual(["X-A", "1"]);
  });
});
