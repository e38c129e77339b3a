import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { parseHostname, routeNames, type Hostname } from "../src/hostname.ts";

describe("a hostname", () => {
  test.each([
    ["simple.example.com", "simple.example.com"],
    ["Simple.EXAMPLE.com", "simple.example.com"],
    ["simple.example.com.", "simple.example.com"],
    ["_acme-challenge.example.com", "_acme-challenge.example.com"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["localhost", "localhost"],
    [`${"a".repeat(63)}.example`, `${"a".repeat(63)}.example`],
  ])("%p is %p", (raw, canonical) => {
    expect(parseHostname(raw)).toEqual({ ok: true, hostname: canonical });
  });

  test.each([
    ["", "empty"],
    [".", "empty"],
    ["a..b", "bad_label"],
    ["a.b..", "bad_label"],
    [".a", "bad_label"],
    [`${"a".repeat(64)}.example`, "bad_label"],
    [`${"a.".repeat(126)}aa`, "too_long"],
    ["a b", "bad_character"],
    ["a\0b.example", "bad_character"],
    ["a\r\nb", "bad_character"],
    ["bücher.example", "bad_character"],
    // U+212A, the Kelvin sign, lowers to an ASCII k.
    ["\u212Aelvin.example", "bad_character"],
    ["*.example.com", "bad_character"],
    ["a:443", "bad_character"],
    ["192.0.2.1", "ip_literal"],
    ["::1", "ip_literal"],
    ["1.2.3", "ip_literal"],
    ["example.0x7f", "ip_literal"],
  ])("%p is refused as %p", (raw, problem) => {
    expect(parseHostname(raw)).toEqual({ ok: false, problem });
  });

  test("whatever passes is canonical, safe in a key and stable", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.domain()), (raw) => {
        const parsed = parseHostname(raw);
        if (!parsed.ok) return;
        expect(parsed.hostname).toMatch(/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/);
        expect(parseHostname(parsed.hostname)).toEqual(parsed);
      }),
    );
  });

  test("is looked for exactly, then under a wildcard of one label, then under the default", () => {
    expect(routeNames("a.b.example.com" as Hostname)).toEqual(["a.b.example.com", "*.b.example.com", "*"]);
    expect(routeNames("localhost" as Hostname)).toEqual(["localhost", "*"]);
  });
});
