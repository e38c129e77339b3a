import { expect, test } from "@jest/globals";
import { cliArguments, splitWords } from "../redis-command.ts";

test("one argument is split into words, quotes keep a word together", () => {
  expect(splitWords("GET route:simple.localhost")).toEqual(["GET", "route:simple.localhost"]);
  expect(splitWords(`SET "proxy:a" '{"target_url": "x"}'`)).toEqual([
    "SET",
    "proxy:a",
    '{"target_url": "x"}',
  ]);
  expect(splitWords(String.raw`SET a "say \"hi\""`)).toEqual(["SET", "a", 'say "hi"']);
  expect(splitWords("  ")).toEqual([]);
});

test("a URL becomes redis-cli's options, and the password stays off the command line", () => {
  expect(cliArguments("unix:///run/redis.sock")).toEqual({
    args: ["-s", "/run/redis.sock"],
    password: undefined,
  });
  expect(cliArguments("rediss://ops:s%40cret@store.internal:6380/2")).toEqual({
    args: ["-h", "store.internal", "-p", "6380", "-n", "2", "--user", "ops", "--tls"],
    password: "s@cret",
  });
  expect(cliArguments("rediss+cluster://ops:s%40cret@10.0.0.7:7000,10.0.0.8:7000")).toEqual({
    args: ["-h", "10.0.0.7", "-p", "7000", "-c", "--user", "ops", "--tls"],
    password: "s@cret",
  });
  expect(cliArguments("http://127.0.0.1")).toBeUndefined();
  expect(cliArguments("redis+sentinel://10.0.0.7/main")).toBeUndefined();
});
