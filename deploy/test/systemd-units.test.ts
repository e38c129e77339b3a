/** The units as systemd reads them, and against the option schemas. What they do when they run is what `npm run test:nspawn` shows. */
import { spawnSync } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import { dispatcherOptions } from "@gatehouse/dispatcher/config";
import { instanceOptions } from "@gatehouse/instance/config";
import { usableSocketPath } from "@gatehouse/shared/listen-address";

const UNITS = join(import.meta.dirname, "../systemd");
const INSTALLED_NODE = "/opt/gatehouse/current/bin/node";
/** Tenths of the score of `systemd-analyze security`; 0 is locked up, 100 is bare. */
const MAX_EXPOSURE = 25;
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
// Said here, for a skipped test gives no reason.
if (!hasSystemd) process.stderr.write("systemd-units: skipped in part, there is no systemd-analyze here\n");
const withSystemd = hasSystemd ? test : test.skip;

let directory: string;

function analyze(...args: string[]): { status: number | null; output: string } {
  const env = { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:` };
  const { status, stdout, stderr } = spawnSync("systemd-analyze", args, {
    cwd: directory,
    env,
    encoding: "utf8",
  });
  return { status, output: `${stdout}${stderr}` };
}

function unit(name: string): Promise<string> {
  return readFile(join(UNITS, name), "utf8");
}

/** Values of a key, in order. */
function values(text: string, key: string): string[] {
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value ?? "");
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "units-"));
  for (const name of await readdir(UNITS)) {
    if (!/\.(?:service|socket)$/.test(name)) continue;
    const text = await unit(name);
    await writeFile(join(directory, name), text.replaceAll(INSTALLED_NODE, process.execPath));
  }
  // As the installer does.
  await cp(join(directory, "gatehouse-instance@.service"), join(directory, "gatehouse-instance-b@.service"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

test("the units start Node with the flags that were measured", async () => {
  for (const tier of ["dispatcher", "instance"] as const) {
    const [start = ""] = values(await unit(`gatehouse-${tier}@.service`), "ExecStart");
    const main = `/opt/gatehouse/current/packages/${tier}/dist/main.js`;
    expect(start.split(" ")).toEqual([INSTALLED_NODE, ...NODE_FLAGS[tier], main]);
  }
});

describe("systemd", () => {
  withSystemd.each([
    "gatehouse-dispatcher.socket",
    "gatehouse-dispatcher-http.socket",
    "gatehouse-dispatcher@A.service",
    "gatehouse-instance@a.example.com.socket",
    "gatehouse-instance@a.example.com.service",
    "gatehouse-instance-b@a.example.com.service",
    "gatehouse-shutdown.service",
  ])("has nothing to say about %s", (name) => {
    // A key that it does not know is a warning only, with status 0.
    expect(analyze("verify", name)).toEqual({ status: 0, output: "" });
  });

  withSystemd.each([
    "gatehouse-dispatcher@.service",
    "gatehouse-instance@.service",
    "gatehouse-shutdown.service",
  ])("finds %s locked up well enough", (name) => {
    const { status, output } = analyze("security", "--offline=yes", `--threshold=${MAX_EXPOSURE}`, name);
    expect({ status, score: /exposure level for .*/.exec(output)?.[0] }).toMatchObject({ status: 0 });
  });
});

test.each(["gatehouse-dispatcher@.service", "gatehouse-instance@.service"])(
  "%s: systemd bounds no drain, for it forgets what it was told at a daemon-reload; the watchdog ends what hangs",
  async (name) => {
    const text = await unit(name);
    expect(values(text, "TimeoutStopSec")).toEqual(["infinity"]);
    expect(values(text, "WatchdogSec")).toEqual(["60s"]);
  },
);

describe.each([
  ["gatehouse-dispatcher@.service", dispatcherOptions],
  ["gatehouse-instance@.service", instanceOptions],
])("%s", (name, options) => {
  const all = Object.values(options);
  const secrets = all.filter(({ secret }) => secret);

  test("loads every secret of the process as a credential, and holds a default for those that may be absent", async () => {
    const text = await unit(name);
    const loaded = values(text, "LoadCredential");
    // What seals is a hostname's own; where the root key lies no instance is let look.
    const placeOf = (env: string): string =>
      env.startsWith("GATEHOUSE_SECRET_KEY") ? `hosts/%i/${env}` : env;
    expect(loaded.toSorted()).toEqual(
      secrets.map(({ env }) => `${env}:/etc/gatehouse/credentials/${placeOf(env)}`).toSorted(),
    );
    const defaults = secrets.filter(({ required }) => !required).map(({ env }) => String.raw`${env}:\n`);
    expect(values(text, "SetCredential").toSorted()).toEqual(defaults.toSorted());
  });

  test("sets only variables that the process has, and no secret", async () => {
    const set = values(await unit(name), "Environment").map((value) => value.split("=")[0]);
    const plain = all.filter(({ secret }) => !secret).map(({ env }) => env);
    expect(plain).toEqual(expect.arrayContaining(set));
    expect(set).toContain("GATEHOUSE_STATE_DIR");
  });
});

test("every generation of the dispatcher inherits both public ports, each by the name that tells them apart", async () => {
  const sockets = values(await unit("gatehouse-dispatcher@.service"), "Sockets").flatMap((text) =>
    text.split(" "),
  );
  const ports = await Promise.all(
    sockets.map(async (name) => {
      const text = await unit(name);
      return ["ListenStream", "FileDescriptorName", "Service"].flatMap((key) => values(text, key));
    }),
  );
  // A descriptor of any other name than `http` is for TLS (packages/dispatcher/test/shared-listener.test.ts).
  expect(ports).toEqual([
    ["443", "https", "gatehouse-dispatcher@A.service"],
    ["80", "http", "gatehouse-dispatcher@A.service"],
  ]);
});

test("the installer enables every socket that is not a host's, and the uninstaller removes every unit", async () => {
  const script = (name: string): Promise<string> => readFile(join(UNITS, "..", name), "utf8");
  const [install, uninstall, files] = await Promise.all([
    script("install.sh"),
    script("uninstall.sh"),
    readdir(UNITS),
  ]);
  const enabled = /} enable (.*)$/m.exec(install)?.[1]?.split(" ") ?? [];
  const shared = files.filter((name) => name.endsWith(".socket") && !name.includes("@"));
  expect(enabled.filter((name) => name.endsWith(".socket")).toSorted()).toEqual(shared.toSorted());
  const removed = new Set(
    [...uninstall.matchAll(/\/etc\/systemd\/system\/(gatehouse-\S+\.(?:service|socket))(?=\s)/g)].map(
      ([, name]) => name,
    ),
  );
  const installed = files.filter((name) => /\.(?:service|socket)$/.test(name));
  expect(removed).toEqual(new Set([...installed, "gatehouse-instance-b@.service"]));
});

test("a hostname of 87 octets is the longest whose socket keeps its name", async () => {
  const [path = ""] = values(await unit("gatehouse-instance@.socket"), "ListenStream");
  const pathOf = (octets: number): string => path.replace("%i", "a".repeat(octets));
  expect(usableSocketPath(pathOf(87))).toBe(pathOf(87));
  expect(usableSocketPath(pathOf(88))).not.toBe(pathOf(88));
  expect(await unit("gatehouse-instance@.socket")).toContain("more than 87 octets");
});
