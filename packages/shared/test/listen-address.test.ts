import { mkdtempSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "@jest/globals";
import {
  formatListenAddress,
  inheritedListeners,
  listen,
  parseListenAddress,
  usableSocketPath,
} from "../src/listen-address.ts";

describe("a listen address", () => {
  test.each([
    ["13001", { kind: "tcp", host: "127.0.0.1", port: 13001 }, "127.0.0.1:13001"],
    ["0.0.0.0:443", { kind: "tcp", host: "0.0.0.0", port: 443 }, "0.0.0.0:443"],
    ["[::]:443", { kind: "tcp", host: "::", port: 443 }, "[::]:443"],
    ["127.0.0.1:0", { kind: "tcp", host: "127.0.0.1", port: 0 }, "127.0.0.1:0"],
    ["unix:/run/g.sock", { kind: "unix", path: "/run/g.sock" }, "unix:/run/g.sock"],
  ])("%p", (text, address, written) => {
    const parsed = parseListenAddress(text);
    expect(parsed).toEqual(address);
    expect(parsed && formatListenAddress(parsed)).toBe(written);
  });

  test.each([
    "",
    "localhost:443",
    ":443",
    "::1:443",
    "[127.0.0.1]:1",
    "1.2.3:1",
    "65536",
    "unix:rel",
    "unix:/a\0",
  ])("%p is refused", (text) => expect(parseListenAddress(text)).toBeUndefined());
});

describe("inherited descriptors", () => {
  test("are taken only when they were passed to this very process", () => {
    const env = { LISTEN_PID: "42", LISTEN_FDS: "2", LISTEN_FDNAMES: "https:http" };
    expect(inheritedListeners(env, 42)).toEqual([
      { kind: "fd", fd: 3, name: "https" },
      { kind: "fd", fd: 4, name: "http" },
    ]);
    expect(inheritedListeners(env, 43)).toEqual([]);
    expect(inheritedListeners({ LISTEN_PID: "42" }, 42)).toEqual([]);
  });
});

describe("a unix socket", () => {
  const directory = mkdtempSync(join(tmpdir(), "gh-"));

  test("over 107 octets gets a name both tiers agree on, in the same directory", async () => {
    const long = join(directory, `${"n".repeat(120)}.sock`);
    const usable = usableSocketPath(long);
    expect(usable).toMatch(new RegExp(`^${directory}/[0-9a-f]{32}$`));
    const server = createServer((socket) => socket.end("hello"));
    await listen(server, { kind: "unix", path: long });
    const [greeting] = (await once(connect(usable), "data")) as [Buffer];
    expect(greeting.toString()).toBe("hello");
    server.close();
    expect(usableSocketPath(join(directory, "short.sock"))).toBe(join(directory, "short.sock"));
  });

  test("left behind by a dead process is replaced; mode is 0660", async () => {
    const path = join(directory, "stale.sock");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    await once(spawn(process.execPath, ["-e", script]), "exit");
    expect(statSync(path).isSocket()).toBe(true);
    const server = createServer();
    await listen(server, { kind: "unix", path });
    expect(statSync(path).mode & 0o777).toBe(0o660);
    server.close();
  });

  test("that somebody answers on, or that is no socket, is never taken away", async () => {
    const path = join(directory, "live.sock");
    const first = createServer();
    await listen(first, { kind: "unix", path });
    await expect(listen(createServer(), { kind: "unix", path })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
    first.close();
    const file = join(directory, "file");
    writeFileSync(file, "precious");
    await expect(listen(createServer(), { kind: "unix", path: file })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
    expect(statSync(file).size).toBe(8);
  });
});

test("an IPv4 and an IPv6 listener share a port", async () => {
  const four = createServer();
  await listen(four, { kind: "tcp", host: "0.0.0.0", port: 0 });
  const { port } = four.address() as AddressInfo;
  const six = createServer();
  await listen(six, { kind: "tcp", host: "::", port }, { ipv6Only: true });
  expect((six.address() as AddressInfo).port).toBe(port);
  four.close();
  six.close();
});
