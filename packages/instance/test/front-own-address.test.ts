import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Hostname } from "@gatehouse/shared/hostname";
import { ownAddresses, reportRoute } from "../src/own-address.ts";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, type Bed } from "./support/front-bed.ts";

const hostname = HOSTNAME as Hostname;
const none = { hostname, inherited: [], configured: undefined, route: null };

describe("where an instance listens (contract section 9)", () => {
  test("inherited descriptors, then the option, then its own route", () => {
    const inherited = [{ kind: "fd", fd: 3, name: "" }] as const;
    const configured = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
    expect(ownAddresses({ hostname, inherited, configured, route: "2" })).toEqual(inherited);
    expect(ownAddresses({ ...none, configured, route: "2" })).toEqual([configured]);
    expect(ownAddresses({ ...none, route: "13001" })).toEqual([
      { kind: "tcp", host: "127.0.0.1", port: 13_001 },
    ]);
    expect(ownAddresses({ ...none, route: "13001;proxy=v1" })).toHaveLength(1);
    expect(ownAddresses({ ...none, route: "unix:/run/a.sock" })).toEqual([
      { kind: "unix", path: "/run/a.sock" },
    ]);
  });

  test.each([null, "10.0.0.7:13001", "127.0.0.1:13001", "13001,13002", "name.internal:1", "nonsense", ""])(
    "a route of %j tells no address, and the error says what to do",
    (route) => {
      expect(() => ownAddresses({ ...none, route })).toThrow(
        /GATEHOUSE_INSTANCE_LISTEN: set it .*redis-cli SET route:a\.example 13001/,
      );
    },
  );
});

describe("the route on the health page", () => {
  const bound = [{ address: "127.0.0.1", family: "IPv4", port: 13_001 }];

  test.each([
    ["13001", true],
    ["13002", false],
    ["13002,13001", true],
    ["[::1]:13001", false],
    ["name.internal:13001", true],
    ["unix:/run/a.sock", false],
    ["13001;proxy=off", false],
    ["nonsense", false],
    [null, false],
  ])("%j leads here: %p", (route, leadsHere) => {
    expect(reportRoute(route, bound).leads_here).toBe(leadsHere);
  });

  test("a unix socket by its path, an inherited one can't be told", () => {
    expect(reportRoute("unix:/run/a.sock", ["/run/a.sock"]).leads_here).toBe(true);
    expect(reportRoute("unix:/run/a.sock", [null]).leads_here).toBe(null);
  });
});

describe("a real process", () => {
  let bed: Bed;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    bed = await openBed();
  });
  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL");
    await bed.close();
  });

  function run(env: Record<string, string>, stdio: "ignore" | number = "ignore") {
    const main = join(import.meta.dirname, "../src/main.ts");
    const child = spawn(process.execPath, ["--conditions=source", main], {
      env: {
        PATH: process.env["PATH"],
        GATEHOUSE_HOSTNAME: HOSTNAME,
        REDIS_URL: bed.redis.url,
        GATEHOUSE_SECRET_KEY: bed.secretKey,
        GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe", stdio],
    });
    children.push(child);
    const output = { stdout: "", stderr: "" };
    child.stdout?.on("data", (chunk) => (output.stdout += String(chunk)));
    child.stderr?.on("data", (chunk) => (output.stderr += String(chunk)));
    return { child, output, exited: once(child, "exit") as Promise<[number | null, string | null]> };
  }

  test("every problem of the environment at once, and exit 78", async () => {
    const { output, exited } = run({
      GATEHOUSE_HOSTNAME: "not a name",
      GATEHOUSE_PUBLIC_PORT: "0",
      GATEHOUSE_SECRET_KEY: "s3cret",
    });
    expect((await exited)[0]).toBe(78);
    for (const name of ["GATEHOUSE_HOSTNAME", "GATEHOUSE_PUBLIC_PORT", "GATEHOUSE_SECRET_KEY"]) {
      expect(output.stderr).toContain(name);
    }
    expect(output.stderr).not.toContain("s3cret");
  });

  test("no address to listen on: exit 78 with the sentence", async () => {
    const { output, exited } = run({});
    expect((await exited)[0]).toBe(78);
    expect(output.stderr).toContain(`redis-cli SET route:${HOSTNAME} 13001`);
  });

  test("no host config: exit 78", async () => {
    const { output, exited } = run({
      GATEHOUSE_HOSTNAME: "b.example",
      GATEHOUSE_INSTANCE_LISTEN: "127.0.0.1:0",
    });
    expect((await exited)[0]).toBe(78);
    expect(output.stderr).toContain("proxy:b.example");
  });

  test("its own route gives the address, a later change never rebinds, TERM drains and exits 0", async () => {
    const path = join(bed.directory, "own.sock");
    await bed.store.set(`route:${HOSTNAME}`, `unix:${path}`);
    const { child, output, exited } = run({
      GATEHOUSE_INSTANCE_ADMIN_LISTEN: `unix:${bed.directory}/admin.sock`,
    });
    await until(
      () => output.stdout.includes(`instance started: ${HOSTNAME} on unix:${path}`),
      Boolean,
      20_000,
    );
    await bed.store.set(`route:${HOSTNAME}`, "13999");
    const health = await until(async () => {
      const text = await overUnix(`${bed.directory}/admin.sock`);
      return text.includes("13999") && text;
    });
    expect(health).toMatch(/"leads_here":false/);
    child.kill("SIGHUP");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(output.stdout).toContain("instance stopped");
    expect(output.stderr).toBe("");
  });

  test("an inherited descriptor comes first", async () => {
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const handle: unknown = Reflect.get(listener, "_handle");
    const fd = Number(Reflect.get(Object(handle), "fd"));
    // LISTEN_PID must be the process's own: a shell knows its pid before it becomes the process.
    const main = join(import.meta.dirname, "../src/main.ts");
    const script = `LISTEN_PID=$$ exec "${process.execPath}" --conditions=source "${main}"`;
    const child = spawn("/bin/sh", ["-c", script], {
      env: {
        PATH: process.env["PATH"],
        LISTEN_FDS: "1",
        GATEHOUSE_HOSTNAME: HOSTNAME,
        REDIS_URL: bed.redis.url,
        GATEHOUSE_SECRET_KEY: bed.secretKey,
        GATEHOUSE_INSTANCE_LISTEN: "127.0.0.1:1",
        GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
      },
      stdio: ["ignore", "pipe", "pipe", fd],
    });
    children.push(child);
    let stdout = "";
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)));
    const address = listener.address();
    const port = typeof address === "object" && address ? address.port : 0;
    await until(() => stdout.includes(`on 127.0.0.1:${port}`), Boolean, 20_000);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
    listener.close();
  });
});

async function overUnix(path: string): Promise<string> {
  const { request } = await import("node:http");
  const asked = request({ socketPath: path, path: "/health" });
  asked.end();
  const [response] = (await once(asked, "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}
