import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { formatTarget, parseRoute } from "../src/route.ts";

const tcp = (host: string, port: number) => ({ kind: "tcp", host, port });

describe("a route value", () => {
  test.each([
    ["13001", [tcp("127.0.0.1", 13001)], "v2"],
    ["10.0.0.7:13001", [tcp("10.0.0.7", 13001)], "v2"],
    ["[fd00::7]:13001", [tcp("fd00::7", 13001)], "v2"],
    ["Name.Internal:13001", [tcp("name.internal", 13001)], "v2"],
    ["unix:/run/gatehouse/name.sock", [{ kind: "unix", path: "/run/gatehouse/name.sock" }], "v2"],
    ["13001, 13002", [tcp("127.0.0.1", 13001), tcp("127.0.0.1", 13002)], "v2"],
    ["13001;proxy=v1", [tcp("127.0.0.1", 13001)], "v1"],
    ["192.0.2.1:443; proxy=off", [tcp("192.0.2.1", 443)], "off"],
    [" 13001\n", [tcp("127.0.0.1", 13001)], "v2"],
  ])("%p", (value, targets, proxy) => {
    expect(parseRoute(value)).toEqual({ ok: true, route: { targets, proxy } });
  });

  test.each([
    "",
    "0",
    "65536",
    "-1",
    "1e3",
    "13001,",
    "http://127.0.0.1:3000",
    "fd00::7:13001",
    "[10.0.0.7]:13001",
    "[::1%eth0]:1",
    "10.0.0.999:1",
    "unix:relative.sock",
    "UNIX:1",
    "unix:/a\0b",
    "13001;proxy=v3",
    "13001;weight=2",
    ":443",
    "a b:1",
    Array.from({ length: 65 }, (_, i) => i + 1).join(","),
  ])("%p is refused with a sentence", (value) => {
    const parsed = parseRoute(value);
    expect(parsed).toMatchObject({ ok: false, problem: expect.stringMatching(/ /) });
  });

  test("any text is answered, and a target survives being written and read", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webAuthority(),
          fc.ipV4(),
          fc.ipV6().map((ip) => `[${ip}]:1`),
        ),
        (text) => {
          const parsed = parseRoute(text);
          if (!parsed.ok) return;
          const again = parseRoute(parsed.route.targets.map(formatTarget).join(","));
          expect(again).toEqual({ ok: true, route: { targets: parsed.route.targets, proxy: "v2" } });
        },
      ),
    );
  });
});
