/** What holds for every command of the table, and the completion that is made from that table. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { newSecretKey } from "@gatehouse/shared/sealing";
import { runScript, type Ran } from "./support/command-bed.ts";

const HOST = "simple.example.com";
const ENV = {
  PATH: process.env["PATH"],
  REDIS_URL: "unix:///nowhere/redis.sock",
  GATEHOUSE_SECRET_KEY: newSecretKey(),
};
let directory: string;
let scripts: Record<"bash" | "zsh" | "fish", string>;

beforeAll(async () => {
  directory = await mkdtemp("/tmp/gatehouse-test-");
  const script = (shell: string): string => run("completion", shell).out;
  scripts = { bash: script("bash"), zsh: script("zsh"), fish: script("fish") };
  for (const [shell, text] of Object.entries(scripts)) await writeFile(join(directory, shell), text);
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

function run(...args: string[]): Ran {
  return runScript("gatehouse", args, ENV);
}

function commandNames(): string[] {
  const lines = run("--help")
    .out.split("\n")
    .filter((line) => line.startsWith("  gatehouse "));
  return lines.map((line) => line.slice("  gatehouse ".length).split(/ {2,}/)[0] ?? "");
}

/** Words with which each command gets as far as Redis. */
const COMPLETE: Readonly<Record<string, readonly string[]>> = {
  status: [],
  "host add": [HOST, "--target", "http://127.0.0.1:3000"],
  "host list": [],
  "host show": [HOST],
  "host set": [HOST, "--set", "maintenance=true"],
  "host remove": [HOST, "--yes"],
  "host restart": [HOST],
  "route list": [],
  "route show": [HOST],
  "route set": [HOST, "13001"],
  "route remove": [HOST],
  "client list": [],
  "client show": ["x"],
  "client revoke": ["x"],
  "token list": [],
  "token show": ["x"],
  "token revoke": ["x"],
  "grant list": [],
  "grant show": ["x"],
  "grant revoke": ["x"],
  "cert show": [HOST],
  "cert renew": [HOST],
  "key rotate": [HOST],
  "config export": [],
  backup: ["/nowhere/backup"],
};
/** They read a file before they ask Redis, or have tests of their own for it. */
const ELSEWHERE = ["cert import", "key derive", "config apply", "restore", "completion", "doctor"];

describe("every command", () => {
  test("has a help that teaches, and refuses an option it does not know", () => {
    // Those of the record have their own test.
    for (const name of commandNames().filter((command) => !command.startsWith("log "))) {
      const words = name.split(" ");
      const help = run(...words, "--help");
      expect([name, help.status, help.out]).toEqual([
        name,
        0,
        expect.stringMatching(
          new RegExp(`^Usage: gatehouse ${name}\\b[^]*--json[^]*Example: gatehouse ${name}`),
        ),
      ]);
      expect([name, run(...words, "--colour").status]).toEqual([name, 2]);
    }
  }, 60_000);

  test("a noun alone teaches its verbs", () => {
    const { status, out } = run("host", "--help");
    expect([status, out]).toEqual([0, expect.stringContaining("gatehouse host restart")]);
    expect(out).not.toContain("gatehouse route");
    expect(run("host")).toMatchObject({
      status: 2,
      out: "",
      err: expect.stringContaining("gatehouse host restart"),
    });
    expect(run("toString", "--help").status).toBe(2);
  });

  test("says so when Redis is away: exit 1, nothing on stdout", () => {
    const names = commandNames().filter((name) => !name.startsWith("log ") && !ELSEWHERE.includes(name));
    expect(Object.keys(COMPLETE).sort()).toEqual(names.sort());
    for (const [name, args] of Object.entries(COMPLETE)) {
      const { status, out, err } = run(...name.split(" "), ...args);
      expect([name, status, out, err]).toEqual([
        name,
        1,
        "",
        expect.stringContaining("Redis did not answer"),
      ]);
    }
  }, 60_000);
});

test("the documentation shows only commands and options that there are", () => {
  const lines = ["docs/operations.md", "README.md"].flatMap((file) => {
    const text = readFileSync(join(import.meta.dirname, "../..", file), "utf8").replaceAll("\\\n", " ");
    return [...text.matchAll(/^(?:scripts\/)?gatehouse (.*?)(?: +#.*| +>.*)?$/gm)].map(
      ([, line = ""]) => line,
    );
  });
  expect(lines.length).toBeGreaterThan(15);
  const names = commandNames();
  for (const line of lines) {
    const name = names.find((command) => line === command || line.startsWith(`${command} `)) ?? "";
    expect([line, names]).toEqual([line, expect.arrayContaining([name])]);
    const help = run(...name.split(" "), "--help").out;
    for (const [option] of line.matchAll(/--[a-z-]+/g))
      expect([line, help]).toEqual([line, expect.stringContaining(option)]);
  }
});

describe("gatehouse completion", () => {
  /** What bash offers for a line whose last word is being typed. */
  function offered(...words: string[]): string[] {
    const program = `source ${join(directory, "bash")}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gatehouse; printf '%s\\n' "\${COMPREPLY[@]}"`;
    // A bash whose input is a socket, as Node's pipes are, takes itself for one started over the network and reads the system's own file.
    const args = ["--norc", "-uc", program, "bash", "gatehouse", ...words];
    const { stdout, stderr, status } = spawnSync("bash", args, { encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
    return stdout.split("\n").filter((word) => word !== "");
  }

  test("bash completes nouns, verbs, options and choices", () => {
    expect(offered("ho")).toEqual(["host"]);
    expect(offered("host", "re")).toEqual(["remove", "restart"]);
    expect(offered("host", "add", "x.example.com", "--re")).toEqual(["--require", "--replace"]);
    expect(offered("log", "ip", "10.0.0.1", "--un")).toEqual(["--until"]);
    expect(offered("completion", "")).toEqual(expect.arrayContaining(["bash", "zsh", "fish"]));
    expect(offered("restore", "--f")).toEqual(["--force"]);
    expect(offered("nonsense", "x", "")).toEqual([]);
  });

  test("bash offers every command there is", () => {
    for (const name of commandNames()) {
      const [noun = "", verb] = name.split(" ");
      expect(offered("")).toContain(noun);
      if (verb !== undefined) expect(offered(noun, "")).toContain(verb);
      expect([name, offered(...name.split(" "), "--")]).toEqual([
        name,
        expect.arrayContaining(["--json", "--help"]),
      ]);
    }
  });

  test.each(["zsh", "fish"] as const)("the script for %s names every command", (shell) => {
    for (const name of commandNames()) {
      for (const word of name.split(" ")) expect(scripts[shell]).toContain(word);
    }
    // Where that shell is installed it has the last word.
    const { error, status, stderr } = spawnSync(shell, ["-n", join(directory, shell)], { encoding: "utf8" });
    if (error === undefined) expect([status, stderr]).toEqual([0, ""]);
  });

  test("another shell is a usage error", () => {
    expect(run("completion", "tcsh")).toMatchObject({ status: 2, out: "" });
    expect(run("completion", "toString").status).toBe(2);
  });
});
