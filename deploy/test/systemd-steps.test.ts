/** deploy/systemd/units takes its steps in the right order; a systemctl that keeps states in files stands in for the real one. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

const UNITS = join(import.meta.dirname, "../systemd/units");
const FIRST = "gatehouse-instance@a.example.service";
const SECOND = "gatehouse-instance-b@a.example.service";
/** Tells the state of a unit from the file of its name, notes what it is told to do, and fails to start what is in `broken`. */
const FAKE = `#!/bin/sh
cd "\${0%/*}"
case $1 in
  show) for unit; do :; done; cat "$unit" 2>/dev/null || echo inactive ;;
  *) echo "$*" >>steps; [ "$1" != start ] || [ ! -e "broken" ] ;;
esac
`;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "steps-"));
  writeFileSync(join(directory, "systemctl"), FAKE, { mode: 0o755 });
  writeFileSync(join(directory, "gatehouse"), '#!/bin/sh\necho "gatehouse $*" >>"${0%/*}/steps"\n', {
    mode: 0o755,
  });
  writeFileSync(join(directory, "steps"), "");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function given(states: Readonly<Record<string, string>>): void {
  for (const [unit, state] of Object.entries(states)) writeFileSync(join(directory, unit), `${state}\n`);
}

function units(...words: string[]): { status: number | null; steps: string[] } {
  const env = {
    PATH: process.env["PATH"],
    SYSTEMCTL: join(directory, "systemctl"),
    GATEHOUSE: join(directory, "gatehouse"),
    DROP_INS: join(directory, "drop-ins"),
    HOST_CREDENTIALS: join(directory, "hosts"),
  };
  const { status } = spawnSync(UNITS, words, { env, encoding: "utf8" });
  const steps = readFileSync(join(directory, "steps"), "utf8").split("\n").slice(0, -1);
  return { status, steps };
}

describe("the next generation", () => {
  test("starts before the former one is stopped, and nobody waits for its drain", () => {
    given({ [FIRST]: "active" });
    const steps = [`start ${SECOND}`, `stop --no-block ${FIRST}`];
    expect(units("next", "instance", "a.example")).toEqual({ status: 0, steps });
  });

  test("takes the first place again when the second one serves", () => {
    given({ [FIRST]: "failed", [SECOND]: "active" });
    const steps = [`start ${FIRST}`, `stop --no-block ${SECOND}`];
    expect(units("next", "instance", "a.example")).toEqual({ status: 0, steps });
  });

  test("that does not start is given up, and the former one serves on", () => {
    given({ [FIRST]: "active", broken: "" });
    const steps = [`start ${SECOND}`, `stop ${SECOND}`];
    expect(units("next", "instance", "a.example")).toEqual({ status: 1, steps });
  });

  test("has to wait while the one before the former still drains", () => {
    given({ [FIRST]: "deactivating", [SECOND]: "active" });
    expect(units("next", "instance", "a.example")).toEqual({ status: 75, steps: [] });
  });

  test("of a dispatcher passes over those that drain", () => {
    given({ "gatehouse-dispatcher@A.service": "deactivating", "gatehouse-dispatcher@B.service": "active" });
    const steps = ["start gatehouse-dispatcher@C.service", "stop --no-block gatehouse-dispatcher@B.service"];
    expect(units("next", "dispatcher")).toEqual({ status: 0, steps });
  });
});

test("a plain restart ends every generation, and starts the first place", () => {
  given({ [FIRST]: "deactivating", [SECOND]: "active" });
  const steps = [`stop ${FIRST} ${SECOND}`, `start ${FIRST}`];
  expect(units("restart", "instance", "a.example")).toEqual({ status: 0, steps });
});

describe("a hostname", () => {
  const SOCKET = "gatehouse-instance@a.example.socket";

  test("gets its secret key and its user before its units start", () => {
    const { status, steps } = units("enable", "instance", "a.example");
    expect({ status, steps }).toEqual({
      status: 0,
      steps: ["gatehouse key derive a.example", "daemon-reload", `enable --now ${SOCKET} ${FIRST}`],
    });
    for (const unit of [FIRST, SECOND]) {
      const text = readFileSync(join(directory, "drop-ins", `${unit}.d/50-host.conf`), "utf8");
      expect(text).toMatch(/^\[Service\]\nUser=gh-[0-9a-f]{16}\n$/);
    }
  });

  test("ends in one go: a socket that is stopped by itself would wait for a generation that drains", () => {
    units("enable", "instance", "a.example");
    mkdirSync(join(directory, "hosts/a.example"), { recursive: true });
    writeFileSync(join(directory, "hosts/a.example/GATEHOUSE_SECRET_KEY"), "");
    writeFileSync(join(directory, "steps"), "");
    const steps = [`disable ${SOCKET} ${FIRST}`, `stop ${SOCKET} ${FIRST} ${SECOND}`, "daemon-reload"];
    expect(units("disable", "instance", "a.example")).toEqual({ status: 0, steps });
    expect(readdirSync(join(directory, "drop-ins"))).toEqual([]);
    expect(readdirSync(join(directory, "hosts"))).toEqual([]);
  });
});

test.each([
  [[]],
  [["next"]],
  [["next", "instance"]],
  [["next", "instance", "../etc"]],
  [["next", "instance", "-x.example"]],
  [["restart", "dispatcher"]],
  [["next", "dispatcher", "a.example"]],
  [["next", "instance", "a.example", "b.example"]],
])("%j is no command", (words) => {
  expect(units(...words)).toEqual({ status: 2, steps: [] });
});
