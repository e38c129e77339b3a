import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { ConfigError } from "../src/config-error.ts";
import {
  addressListOption,
  hostnameOption,
  integerOption,
  optional,
  readConfig,
  textOption,
  wordOption,
} from "../src/read-config.ts";

const describeIt = "what it is";
const options = {
  timeoutMs: integerOption({ env: "TIMEOUT_MS", describe: describeIt, min: 10, max: 1000, fallback: 50 }),
  hostname: hostnameOption({ env: "HOSTNAME_OF", describe: describeIt }),
  level: wordOption({ env: "LEVEL", describe: describeIt, words: ["info", "debug"], fallback: "info" }),
  from: addressListOption({ env: "FROM", describe: describeIt, fallback: "127.0.0.0/8" }),
  secret: textOption({
    env: "SECRET",
    describe: describeIt,
    expected: "at least 8 characters",
    secret: true,
    parse: (text) => (text.length >= 8 ? text : undefined),
  }),
  extra: optional(
    textOption({ env: "EXTRA", describe: describeIt, expected: "text", parse: (text) => text }),
  ),
};
const enough = { HOSTNAME_OF: "A.example.", SECRET: "s3cret-s3cret" };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(options, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.key);
    throw error;
  }
  return [];
}

describe("process config", () => {
  test("is typed, defaulted and frozen", () => {
    const config = readConfig(options, enough);
    expect(config).toMatchObject({
      timeoutMs: 50,
      hostname: "a.example",
      level: "info",
      secret: "s3cret-s3cret",
    });
    expect(config.extra).toBeUndefined();
    expect(config.from.has("127.0.0.1")).toBe(true);
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("reports every problem at once, with key, expectation and what was given, but never a secret", () => {
    const env = { TIMEOUT_MS: "5s", LEVEL: "loud", FROM: "10.0.0.0/99", SECRET: "hunter2" };
    expect(problemsOf(env)).toEqual(["TIMEOUT_MS", "HOSTNAME_OF", "LEVEL", "FROM", "SECRET"]);
    expect(() => readConfig(options, env)).toThrow(
      /TIMEOUT_MS: must be an integer from 10 to 1000, got "5s"/,
    );
    expect(() => readConfig(options, env)).not.toThrow(/hunter2/);
  });

  test.each(["9", "1001", "1e2", "0x20", " 20", "-20", "20.0", "9".repeat(30)])(
    "integer %p is refused",
    (text) => {
      expect(problemsOf({ ...enough, TIMEOUT_MS: text })).toEqual(["TIMEOUT_MS"]);
    },
  );

  test("an empty variable means not set", () => {
    expect(readConfig(options, { ...enough, TIMEOUT_MS: "" }).timeoutMs).toBe(50);
  });

  test("a secret comes from a named file or a credentials directory, the variable first", () => {
    const directory = mkdtempSync(join(tmpdir(), "config-"));
    writeFileSync(join(directory, "SECRET"), "from-the-file\n");
    const file = join(directory, "SECRET");
    expect(readConfig(options, { HOSTNAME_OF: "a.example", SECRET_FILE: file }).secret).toBe("from-the-file");
    expect(readConfig(options, { HOSTNAME_OF: "a.example", CREDENTIALS_DIRECTORY: directory }).secret).toBe(
      "from-the-file",
    );
    expect(readConfig(options, { ...enough, SECRET_FILE: file }).secret).toBe("s3cret-s3cret");
  });

  test("an empty credential is a secret that is not set, and a file that was named is meant", () => {
    const directory = mkdtempSync(join(tmpdir(), "config-"));
    writeFileSync(join(directory, "SECRET"), "\n");
    expect(problemsOf({ HOSTNAME_OF: "a.example", CREDENTIALS_DIRECTORY: directory })).toEqual(["SECRET"]);
    const file = join(directory, "SECRET");
    expect(() => readConfig(options, { HOSTNAME_OF: "a.example", CREDENTIALS_DIRECTORY: directory })).toThrow(
      "is required",
    );
    expect(() => readConfig(options, { HOSTNAME_OF: "a.example", SECRET_FILE: file })).toThrow("must be");
  });

  test("a secret file that was named but can't be read is a problem of its own", () => {
    expect(problemsOf({ HOSTNAME_OF: "a.example", SECRET_FILE: "/nonexistent/secret" })).toEqual([
      "SECRET_FILE",
    ]);
  });
});
