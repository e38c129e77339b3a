import { isIPv4 } from "node:net";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ipv4Octets, ipv6Octets } from "../src/ip-octets.ts";

describe("octets of an IPv4 address", () => {
  test.each([
    "",
    ".",
    "1.2.3",
    "1.2.3.4.",
    ".1.2.3.4",
    "1..2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    "1.2.3.-4",
    "1.2.3.4 ",
    "1.2.3.٤",
  ])("%j is none", (text) => {
    expect(ipv4Octets(text)).toBeUndefined();
  });

  test("as Node reads them, of any four numbers", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(ipv4Octets(text)).toEqual(text.split(".").map(Number));
      }),
    );
  });

  test("whatever Node takes for an address, and nothing else", () => {
    const part = fc.oneof(fc.nat({ max: 300 }).map(String), fc.constantFrom("", "00", "0", "x", " 1", "1e1"));
    const text = fc.array(part, { minLength: 2, maxLength: 6 }).map((parts) => parts.join("."));
    fc.assert(
      fc.property(fc.oneof(text, fc.string()), (any) => {
        expect(ipv4Octets(any) !== undefined).toBe(isIPv4(any));
      }),
      { numRuns: 2_000 },
    );
  });
});

test("an IPv6 address may end like an IPv4 one", () => {
  expect(ipv6Octets("::ffff:1.2.3.4")).toEqual([...Array<number>(10).fill(0), 255, 255, 1, 2, 3, 4]);
  expect(ipv6Octets("1:2::1.2.3.4").slice(0, 5)).toEqual([0, 1, 0, 2, 0]);
});
