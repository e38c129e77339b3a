/** `gatehouse host add` pins the logins it is given, through GitHub's API. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

const HOST = "simple.example.com";
/** As api.github.com answers GET /users/{username}: without regard to case, 404 for nobody. */
const ACCOUNTS: Readonly<Record<string, { login: string; id: number }>> = {
  octocat: { login: "octocat", id: 583_231 },
  hubot: { login: "Hubot", id: 480_938 },
};
let bed: CommandBed;
let api: Server;
const asked: string[] = [];

beforeAll(async () => {
  bed = await CommandBed.open();
  api = createServer((request, response) => {
    asked.push(request.url ?? "");
    const name = (request.url ?? "").replace("/users/", "").toLowerCase();
    if (name === "renamed") {
      response.writeHead(301, { location: "/users/octocat" }).end();
      return;
    }
    const account = ACCOUNTS[name];
    response.writeHead(account === undefined ? 404 : 200).end(JSON.stringify(account ?? {}));
  }).listen(0, "127.0.0.1");
  await once(api, "listening");
});
afterEach(async () => {
  asked.length = 0;
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
  api.closeAllConnections();
  api.close();
});

/** Beside this process, which is the API. */
function add(...args: string[]): Promise<{ status: number; err: string }> {
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  const words = ["host", "add", HOST, "--target", "http://127.0.0.1:3000", "--no-start", ...args];
  const env = { ...bed.environment, GITHUB_API_URL: url };
  return new Promise((resolve) => {
    execFile(join(import.meta.dirname, "../gatehouse"), words, { env }, (error, _out, err) =>
      resolve({ status: error === null ? 0 : Number(error.code), err }),
    );
  });
}

async function pins(): Promise<Record<string, string>> {
  const keys = await bed.redis.keys("oauth:pin:*");
  const entries = keys.map(async (key) => {
    const { uid } = JSON.parse((await bed.redis.get(key)) ?? "{}") as { uid: string };
    return [key.replace(`oauth:pin:${HOST}:`, ""), uid] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const protectedBy = (...entries: string[]): string[] => ["--auth", "--require", entries.join(",")];

test("a login in any list is pinned to the account that has it, and what names nobody by login is not asked about", async () => {
  const { status, err } = await add(...protectedBy("HUBOT", "org:github", "id:7"), "--admin", "octocat");
  expect([status, err]).toEqual([0, expect.not.stringContaining("pinned")]);
  expect(await pins()).toEqual({ octocat: "github:583231", hubot: "github:480938" });
  expect(asked.toSorted()).toEqual(["/users/HUBOT", "/users/octocat"]);
});

test("who is pinned already stays so, and the operator is told when it is somebody else", async () => {
  const record = { hostname: HOST, login: "octocat", uid: "github:1", pinned_at: 1 };
  await bed.redis.set(`oauth:pin:${HOST}:octocat`, JSON.stringify(record));
  const { status, err } = await add(...protectedBy("octocat"));
  expect([status, err]).toEqual([0, expect.stringMatching(/octocat is pinned to github:1 here.*583231/)]);
  expect(await pins()).toEqual({ octocat: "github:1" });
});

test.each([
  ["nobody has", "nobody-here", /nobody-here is not pinned .*no such account/],
  ["leads to another name", "renamed", /renamed is not pinned .*could not be asked/],
])("a login that %s is left to its first login, and said", async (_what, login, reason) => {
  const { status, err } = await add(...protectedBy(login));
  expect([status, err]).toEqual([0, expect.stringMatching(reason)]);
  expect(await pins()).toEqual({});
});

test("an open host asks nobody", async () => {
  expect((await add()).status).toBe(0);
  expect(asked).toEqual([]);
});
