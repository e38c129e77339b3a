import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { ServiceManager, watchdogPeriodMs } from "../src/service-manager.ts";

/**
 * In the place of systemd-notify stands a program that writes its words and its environment down; that the real one is understood by a
 * real systemd is what `npm run test:nspawn` shows.
 */
const FAKE_NOTIFY = '#!/bin/sh\necho "$*" >>"$NOTIFY_SOCKET"\nenv >"$NOTIFY_SOCKET.env"\n';
const MANAGED = join(import.meta.dirname, "support/managed-process.ts");
const WATCHDOG_MS = 200;
const TIMEOUT_MS = 30_000;

let directory: string;
let words: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "service-manager-"));
  words = join(directory, "words");
  await writeFile(words, "");
  await writeFile(join(directory, "systemd-notify"), FAKE_NOTIFY);
  await chmod(join(directory, "systemd-notify"), 0o755);
});

afterEach(() => rm(directory, { recursive: true, force: true }));

function environment(more: Record<string, string> = {}): Record<string, string> {
  return { PATH: `${directory}:${process.env["PATH"]}`, NOTIFY_SOCKET: words, ...more };
}

async function said(): Promise<string[]> {
  return (await readFile(words, "utf8")).split("\n").filter((line) => line !== "");
}

async function untilSaid(matches: RegExp): Promise<void> {
  while (!(await said()).some((line) => matches.test(line))) await delay(10);
}

describe("what the manager is told", () => {
  test("arrives in the order in which it was said, with the process it is about", async () => {
    const problems: string[] = [];
    const manager = new ServiceManager(environment(), 4711, (problem) => problems.push(problem));
    const deeds: string[] = [];
    manager.ready();
    manager.reloading(() => deeds.push("reloaded"));
    manager.stopping(5000);
    await manager.close();
    expect(await said()).toEqual([
      "--pid=4711 READY=1",
      expect.stringMatching(/^--pid=4711 RELOADING=1 MONOTONIC_USEC=[1-9]\d+$/),
      "--pid=4711 READY=1",
      "--pid=4711 STOPPING=1 EXTEND_TIMEOUT_USEC=35000000",
    ]);
    expect(deeds).toEqual(["reloaded"]);
    expect(problems).toEqual([]);
  });

  test("is nothing without NOTIFY_SOCKET, and a reload is one all the same", async () => {
    const { NOTIFY_SOCKET: _, ...env } = environment({ WATCHDOG_USEC: "20000" });
    const problems: string[] = [];
    // The program would complain, were it started.
    await writeFile(join(directory, "systemd-notify"), "#!/bin/sh\nexit 3\n");
    const manager = new ServiceManager(env, 1, (problem) => problems.push(problem));
    const deeds: string[] = [];
    manager.ready();
    manager.reloading(() => deeds.push("reloaded"));
    await delay(100);
    manager.stopping(5000);
    await manager.close();
    expect(problems).toEqual([]);
    expect(deeds).toEqual(["reloaded"]);
  });

  test("holds no secret", async () => {
    const manager = new ServiceManager(environment({ GATEHOUSE_SECRET_KEY: "secret" }), 1, () => undefined);
    manager.ready();
    await manager.close();
    const seen = await readFile(`${words}.env`, "utf8");
    expect(seen).toContain("NOTIFY_SOCKET=");
    expect(seen).not.toContain("GATEHOUSE_SECRET_KEY");
  });

  test("that it can't be told is said once", async () => {
    const problems: string[] = [];
    const env = { ...environment(), PATH: "/nonexistent" };
    const manager = new ServiceManager(env, 1, (problem) => problems.push(problem));
    manager.ready();
    manager.stopping(5000);
    await manager.close();
    expect(problems).toEqual([expect.stringMatching(/^the service manager can't be told READY=1: .*ENOENT/)]);
  });
});

describe("the watchdog's period", () => {
  test.each([
    [{}, undefined],
    [{ WATCHDOG_USEC: "60000000" }, 60_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "7" }, 60_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" }, undefined],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "soon" }, undefined],
  ])("of %j is %j ms for process 7", (env, period) => {
    expect(watchdogPeriodMs(env, 7)).toBe(period);
  });
});

describe("a process", () => {
  let child: ChildProcess;
  let output: string;

  function start(more: Record<string, string> = {}): void {
    output = "";
    child = spawn(process.execPath, ["--conditions=source", MANAGED], {
      env: environment({ WORDS: words, ...more }),
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }

  afterEach(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "close");
  });

  test(
    "says that it is ready once it has started, that it reloads, and that it stops before it has drained",
    async () => {
      start();
      await untilSaid(/READY/);
      expect(output).toBe("started\n");
      child.kill("SIGHUP");
      await untilSaid(/RELOADING/);
      child.kill("SIGTERM");
      const [code] = (await once(child, "close")) as [number];
      expect(code).toBe(0);
      expect(output).toBe("started\nreloaded\ndrained\n");
      const kinds = (await said()).map((line) => line.split(" ")[1]);
      expect(kinds).toEqual(["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]);
    },
    TIMEOUT_MS,
  );

  test(
    "pings the watchdog as long as its event loop turns, and not while it hangs",
    async () => {
      start({ WATCHDOG_USEC: String(WATCHDOG_MS * 1000), HANG_MS: String(5 * WATCHDOG_MS) });
      await untilSaid(/WATCHDOG=1/);
      child.kill("SIGUSR2");
      while (!output.includes("more\n")) await delay(20);
      expect(output).toContain("hung: 0 more\n");
      await writeFile(words, "");
      await untilSaid(/WATCHDOG=1/);
    },
    TIMEOUT_MS,
  );
});
