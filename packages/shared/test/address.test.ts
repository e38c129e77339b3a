import { describe, expect, test } from "@jest/globals";
import { AddressList, canonicalIp } from "../src/address.ts";

function listOf(...entries: string[]): AddressList {
  const parsed = AddressList.parse(entries);
  if (!parsed.ok) throw new Error(`bad entries: ${parsed.bad.join()}`);
  return parsed.list;
}

describe("an address list", () => {
  test("tests addresses against blocks of both families", () => {
    const list = listOf("10.0.0.0/8", "192.0.2.7", "fd00::/8");
    expect(["10.255.0.1", "192.0.2.7", "fd12::1"].map((ip) => list.has(ip))).toEqual([true, true, true]);
    expect(["11.0.0.1", "192.0.2.8", "fe80::1", "", "nonsense"].some((ip) => list.has(ip))).toBe(false);
  });

  test("sees an IPv4-mapped address as the IPv4 address it is", () => {
    expect(listOf("127.0.0.0/8").has("::ffff:127.0.0.1")).toBe(true);
    expect(canonicalIp("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(canonicalIp("::FFFF:192.0.2.1")).toBe("192.0.2.1");
    expect(canonicalIp("2001:db8::1")).toBe("2001:db8::1");
  });

  test("names every entry that is no address or block", () => {
    expect(
      AddressList.parse(["10.0.0.0/33", "10.0.0.1", "::/129", "host", "10.0.0.0/8/8", "fe80::1%eth0"]),
    ).toEqual({
      ok: false,
      bad: ["10.0.0.0/33", "::/129", "host", "10.0.0.0/8/8", "fe80::1%eth0"],
    });
  });

  test("holds nothing when empty", () => {
    expect(listOf().isEmpty).toBe(true);
    expect(listOf().has("127.0.0.1")).toBe(false);
  });
});
