/** What a person gets on a host, and when their login is pinned to them. */
import { once } from "node:events";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { person } from "./support/person.ts";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { pinKey } from "@gatehouse/shared/redis-keys";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { entitlementOf } from "../src/oauth/entitlement.ts";
import { UserPins } from "../src/oauth/user-pin.ts";

let store: PrivateRedis;
let redis: RedisClient;
let pins: UserPins;
beforeAll(async () => {
  store = await startPrivateRedis();
  redis = openRedis({ url: store.url, clientName: "test" });
  await once(redis, "ready");
  pins = new UserPins(redis, NAME);
});
beforeEach(async () => {
  await redis.del(pinKey(NAME, "octocat"));
});
afterAll(async () => {
  await closeRedis(redis);
  await store.stop();
});

const NAME = hostname("app.example");
const OCTOCAT = person();

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new TypeError(text);
  return parsed.hostname;
}

function config(fields: Record<string, unknown>): HostConfig {
  const parsed = parseHostConfig(
    JSON.stringify({ target_url: "http://127.0.0.1:9", auth_enabled: true, ...fields }),
  );
  if (!parsed.ok) throw new TypeError(JSON.stringify(parsed.problems));
  return parsed.config;
}

async function given(fields: Record<string, unknown>, identity = OCTOCAT, requested?: readonly string[]) {
  return await entitlementOf(pins, config(fields), { identity, requested });
}

async function isPinned(): Promise<boolean> {
  return (await redis.exists(pinKey(NAME, "octocat"))) === 1;
}

describe("nothing, and no pin", () => {
  test("for whom auth_required_users does not admit", async () => {
    const lists = { auth_required_users: ["hubot"], oauth_admin_users: ["octocat"] };
    expect(await given(lists)).toEqual({ kind: "none", reason: "auth_required_users does not admit them" });
    expect(await isPinned()).toBe(false);
  });

  test("where no scope is left", async () => {
    const lists = { auth_required_users: ["octocat"], scope_assignment: "requested" };
    expect(await given(lists, OCTOCAT, ["admin"])).toEqual({
      kind: "none",
      reason: "no scope is left for them",
    });
    expect(await isPinned()).toBe(false);
  });
});

describe("some", () => {
  test("without a pin where no list names the login", async () => {
    expect(await given({ auth_required_users: ["*"] })).toEqual({
      kind: "some",
      scopes: ["user", "mcp"],
      isNewlyPinned: false,
    });
    expect(await isPinned()).toBe(false);
  });

  test("with a pin where one does, told once; another uid under that login gets nothing", async () => {
    const lists = { auth_required_users: ["octocat"], oauth_admin_users: ["octocat"] };
    const scopes = ["admin", "user", "mcp"];
    expect(await given(lists)).toEqual({ kind: "some", scopes, isNewlyPinned: true });
    expect(await given(lists)).toEqual({ kind: "some", scopes, isNewlyPinned: false });
    expect(await given(lists, { ...OCTOCAT, uid: "github:1" })).toEqual({
      kind: "none",
      reason: "a list names this login, and it is pinned to another uid",
    });
  });
});
