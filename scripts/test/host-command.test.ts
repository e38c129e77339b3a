import { existsSync, statSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { usableSocketPath } from "@gatehouse/shared/listen-address";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { writeConfig, writeRoute } from "../hosts/host-writer.ts";
import { claimPort } from "../hosts/port-claims.ts";
import { SystemdRunner } from "../hosts/host-runner.ts";
import { CommandBed } from "./support/command-bed.ts";

const HOST = "simple.example.com";
const TARGET = ["--target", "http://127.0.0.1:3000"] as const;
let bed: CommandBed;

beforeAll(async () => {
  bed = await CommandBed.open();
});
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
});

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new Error(`${text} is no hostname`);
  return parsed.hostname;
}

async function stored(name: string = HOST): Promise<{ config: unknown; route: string | null }> {
  const config = await bed.redis.get(`proxy:${name}`);
  return {
    config: config === null ? null : JSON.parse(config),
    route: await bed.redis.get(`route:${name}`),
  };
}

describe("gatehouse host add", () => {
  test("writes config and route, and says what starts the instance; a second run changes nothing", async () => {
    const directory = bed.environment["GATEHOUSE_SOCKET_DIR"] ?? "";
    const route = `unix:${directory}/${HOST}.sock`;
    const first = bed.run("host", "add", "Simple.Example.com.", ...TARGET);
    expect(first).toMatchObject({ status: 0, err: "" });
    expect(first.out).toContain(`${HOST} is added: ${route} -> http://127.0.0.1:3000`);
    expect(first.out).toMatch(
      /GATEHOUSE_HOSTNAME=simple\.example\.com node --max-semi-space-size=\d+ --expose-gc \S+instance\/dist\/main\.js/,
    );
    expect(await stored()).toEqual({ config: { target_url: "http://127.0.0.1:3000" }, route });
    expect(statSync(directory).mode & 0o777).toBe(0o750);
    const second = bed.run("host", "add", HOST, ...TARGET);
    expect([second.status, second.out]).toEqual([0, expect.stringContaining("nothing changed")]);
  });

  test("completes what an interrupted run left undone", async () => {
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify({ target_url: "http://127.0.0.1:3000" }));
    expect(bed.json("host", "add", HOST, ...TARGET, "--route", "13001")).toEqual([
      expect.objectContaining({ hostname: HOST, route: "13001", is_changed: true }),
    ]);
    expect((await stored()).route).toBe("13001");
  });

  test("does not undo what was set since, except with --replace", async () => {
    bed.run("host", "add", HOST, ...TARGET, "--route", "13001");
    bed.run("host", "set", HOST, "--set", "maintenance=true");
    const again = bed.run("host", "add", HOST, ...TARGET, "--route", "13002");
    expect([again.status, again.err]).toEqual([
      1,
      expect.stringMatching(/maintenance: true -> \(not set\)[^]*route: 13001 -> 13002/),
    ]);
    expect((await stored()).route).toBe("13001");
    expect(bed.run("host", "add", HOST, ...TARGET, "--route", "13002", "--replace").status).toBe(0);
    expect(await stored()).toEqual({ config: { target_url: "http://127.0.0.1:3000" }, route: "13002" });
  });

  test("takes every field, secrets from files", async () => {
    const file = join(bed.server.socketPath, "../secret");
    await writeFile(file, "s3cret\n");
    const given =
      "--auth --require * --admin octocat,hubot --set github_client_id=Iv1.0 --set resource_endpoint=/x";
    const secret = ["--set", `github_client_secret=@${file}`];
    const headers = ["--set", 'custom_headers={"X-Api-Key":"k3y","X-Env":"prod"}'];
    const words = [...TARGET, ...given.split(" "), ...secret, ...headers, "--json"];
    const run = bed.run("host", "add", HOST, ...words);
    const unasked = expect.stringMatching(/^note: octocat is not pinned .*\nnote: hubot is not pinned .*\n$/);
    expect(run).toMatchObject({ status: 0, err: unasked });
    expect((await stored()).config).toEqual({
      target_url: "http://127.0.0.1:3000",
      auth_enabled: true,
      auth_required_users: ["*"],
      oauth_admin_users: ["octocat", "hubot"],
      github_client_id: "Iv1.0",
      resource_endpoint: "/x",
      github_client_secret: "s3cret",
      custom_headers: { "X-Api-Key": "k3y", "X-Env": "prod" },
    });
    const shown = [
      run,
      bed.run("host", "show", HOST),
      bed.run("host", "list"),
      bed.run("host", "show", HOST, "--json"),
    ];
    for (const { out } of shown) expect(out).not.toMatch(/s3cret|k3y/);
    expect(bed.run("host", "show", HOST).out).toContain('"X-Env": "prod"');
  });

  test("lists every problem at once and writes nothing", async () => {
    const run = bed.run(
      "host",
      "add",
      HOST,
      "--target",
      "ftp://x",
      "--auth",
      "--set",
      "colour=red",
      "--set",
      "enabled=ture",
    );
    expect([run.status, run.out]).toEqual([78, ""]);
    expect(run.err).toMatch(/target_url: must be http/);
    expect(run.err).toMatch(/colour: is not a field/);
    // A document holds secrets: what was found is told by its kind, never quoted.
    expect(run.err).toMatch(/enabled: .*got a text of 4 characters/);
    const open = bed.run("host", "add", HOST, ...TARGET, "--auth");
    expect([open.status, open.err]).toEqual([
      78,
      expect.stringContaining("auth_required_users: is required"),
    ]);
    expect(await bed.redis.keys("*")).toEqual([]);
  });

  test.each([
    [["add"], "host add takes HOST"],
    [["add", HOST, "other.example.com", ...TARGET], "host add takes HOST"],
    [["add", "not a name", ...TARGET], "is no hostname"],
    [["add", HOST, ...TARGET, "--route", "nonsense:"], "the route can't be used"],
    [["add", HOST, ...TARGET, "--route", "1", "--port"], "not both"],
    [["add", HOST, ...TARGET, "--set", "target_url=x"], "target_url is given twice"],
    [["add", HOST, ...TARGET, "--set", "maintenance"], "name=value"],
    [["add", HOST, ...TARGET, "--set", "x=@/no/file"], "/no/file can't be read: ENOENT"],
    [["add", HOST, ...TARGET, "--colour"], "--colour"],
    [["set", HOST], "which field?"],
    [["remove", HOST], "Say --yes"],
    [["frobnicate"], "gatehouse host restart"],
  ])("host %j is a usage error", async (args, message) => {
    const { status, out, err } = bed.run("host", ...args);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toContain(message);
    expect(await bed.redis.keys("*")).toEqual([]);
  });

  test("a socket path that no system takes is the short one that both processes use", async () => {
    const long = `${"long-".repeat(11)}x.${"name-".repeat(11)}x.example.com`;
    bed.run("host", "add", long, ...TARGET);
    const path = `${bed.environment["GATEHOUSE_SOCKET_DIR"]}/${long}.sock`;
    const { route } = await stored(long);
    expect(route).toBe(`unix:${usableSocketPath(path)}`);
    expect(route?.length).toBeLessThan(path.length);
  });

  test("warns when hosts share a GitHub app, which has one callback host", () => {
    const auth = ["--auth", "--require", "*"];
    const app = [...auth, "--set", "github_client_id=Iv1.0", "--set", "github_client_secret=s"];
    expect(bed.run("host", "add", "a.example.com", ...TARGET, ...app).err).toBe("");
    const second = bed.run("host", "add", "b.example.com", ...TARGET, ...app);
    expect([second.status, second.err]).toEqual([
      0,
      expect.stringContaining("warning: a.example.com logs in through the same"),
    ]);
    expect(bed.run("host", "add", "c.example.com", ...TARGET, ...auth).err).toMatch(
      /^note: c\.example\.com uses the GitHub app of/,
    );
  });
});

describe("ports", () => {
  test("hosts that are added at once get different ones, and pass over what is routed or in use", async () => {
    // Where a demo has that port already, it is as much in use.
    const other = createServer().on("error", () => undefined);
    other.listen(13_001, "127.0.0.1");
    await bed.redis.set("route:by-hand.example.com", "10.0.0.7:13000,13003;proxy=v1");
    const names = Array.from({ length: 6 }, (_, i) => `h${i}.example.com`);
    const runs = await Promise.all(names.map((name) => bed.start("host", "add", name, ...TARGET, "--port")));
    other.close();
    expect(runs.map(({ status }) => status)).toEqual(names.map(() => 0));
    const routes = await Promise.all(names.map(async (name) => (await stored(name)).route));
    expect(new Set(routes).size).toBe(names.length);
    for (const route of routes) {
      expect(Number(route)).toBeGreaterThanOrEqual(13_002);
      expect(Number(route)).toBeLessThanOrEqual(13_999);
      expect(route).not.toBe("13003");
    }
    const [first = ""] = names;
    bed.run("host", "add", first, ...TARGET, "--port");
    expect((await stored(first)).route).toBe(routes[0]);
    bed.run("host", "remove", first, "--yes");
    expect(Object.keys(await bed.redis.hgetall("host:ports"))).not.toContain(routes[0]);
  });

  test("of claims that run into each other each gets a port of its own", async () => {
    const names = Array.from({ length: 20 }, (_, i) => hostname(`h${i}.example.com`));
    const ports = await Promise.all(names.map((name) => claimPort(bed.redis, name, Date.now())));
    expect(new Set(ports).size).toBe(names.length);
    await bed.redis.hset("host:ports", Object.fromEntries(ports.map((port) => [port, "dead.example.com 1"])));
    const taken = await Promise.all(names.map((name) => claimPort(bed.redis, name, Date.now())));
    expect(new Set(taken).size).toBe(names.length);
  });

  test("a claim whose command died is kept for ten minutes, and by its host taken up again", async () => {
    const young = await claimPort(bed.redis, hostname("busy.example.com"), Date.now());
    const abandoned = await claimPort(bed.redis, hostname("dead.example.com"), Date.now() - 11 * 60_000);
    bed.run("host", "add", HOST, ...TARGET, "--port");
    expect((await stored()).route).toBe(String(abandoned));
    bed.run("host", "add", "next.example.com", ...TARGET, "--port");
    expect(Number((await stored("next.example.com")).route)).toBeGreaterThan(abandoned);
    bed.run("host", "add", "busy.example.com", ...TARGET, "--port");
    expect((await stored("busy.example.com")).route).toBe(String(young));
  });
});

describe("gatehouse host list, show, set, remove, restart", () => {
  test("list and show say what is wrong", async () => {
    bed.run("host", "add", HOST, ...TARGET, "--route", "13001");
    await bed.redis.set("route:bare.example.com", "13009");
    await bed.redis.set("route:*.example.com", "10.0.0.1:443;proxy=off");
    await bed.redis.set(
      "proxy:bad.example.com",
      '{"target_url":"http://x","maintenence":true,"github_client_secret":7}',
    );
    expect(bed.json("host", "list")).toEqual([
      {
        hostname: "bad.example.com",
        route: null,
        target_url: null,
        auth: null,
        state: "bad config: github_client_secret, maintenence",
      },
      { hostname: "bare.example.com", route: "13009", target_url: null, auth: null, state: "no host config" },
      { hostname: HOST, route: "13001", target_url: "http://127.0.0.1:3000", auth: false, state: "ok" },
    ]);
    expect(bed.run("host", "show", "bad.example.com").out).toContain("problem: maintenence: is not a field");
    expect(bed.run("host", "show", HOST, "--defaults").out).toContain('"resource_endpoint": "/mcp"');
    expect(bed.run("host", "show", "nobody.example.com").status).toBe(1);
  });

  test("set shows the change and keeps the rest; nothing bad is written", async () => {
    bed.run("host", "add", HOST, ...TARGET, "--route", "13001", "--set", "maintenance=true");
    const change = [
      "host",
      "set",
      HOST,
      "--unset",
      "maintenance",
      "--require",
      "octocat",
      "--set",
      "oidc_client_secret=s3cret",
    ];
    const dry = bed.run(...change, "--dry-run");
    expect((await stored()).config).toHaveProperty("maintenance");
    const run = bed.run(...change);
    expect(run).toEqual({ ...dry, status: 0 });
    expect(run.out).toContain('auth_required_users: (not set) -> ["octocat"]');
    expect(run.out).toContain("maintenance: true -> (not set)");
    expect(run.out).not.toContain("s3cret");
    expect((await stored()).config).toEqual({
      target_url: "http://127.0.0.1:3000",
      auth_required_users: ["octocat"],
      oidc_client_secret: "s3cret",
    });
    expect(bed.run(...change).out).toContain("nothing to change");
    expect(bed.run("host", "set", HOST, "--unset", "target_url").status).toBe(78);
    expect((await stored()).config).toHaveProperty("target_url");
    expect(bed.run("host", "set", "nobody.example.com", ...TARGET)).toMatchObject({ status: 1, out: "" });
  });

  test("what somebody else changed meanwhile is not undone", async () => {
    const before = '{"target_url":"http://x"}';
    const now = '{"target_url":"http://y"}';
    await bed.redis.mset({ [`proxy:${HOST}`]: now, [`route:${HOST}`]: "13002" });
    for (const config of [before, null]) {
      const writing = writeConfig(
        bed.redis,
        { hostname: hostname(HOST), config },
        { target_url: "http://z" },
      );
      await expect(writing).rejects.toThrow(`proxy:${HOST} was changed by somebody else`);
    }
    for (const from of ["13001", null])
      await expect(writeRoute(bed.redis, { name: HOST, from }, "13003")).rejects.toThrow(
        "changed by somebody else",
      );
    expect(await stored()).toEqual({ config: JSON.parse(now), route: "13002" });
  });

  test("remove takes route and config; --purge what people were granted, of this host only", async () => {
    const record = (hostname: string): string => JSON.stringify({ hostname });
    await bed.redis.mset({
      [`cert:${HOST}`]: "{}",
      "oauth:client:one": record(HOST),
      "oauth:token:one": record(HOST),
      "oauth:token:two": record("other.example.com"),
      [`oauth:pin:${HOST}:octocat`]: record(HOST),
      [`oauth:key:${HOST}`]: record(HOST),
      "oauth:grant:g": record(HOST),
    });
    await bed.redis.zadd(`oauth:client-grants:${HOST}:one`, 1, "g");
    bed.run("host", "add", HOST, ...TARGET, "--port");
    expect(bed.run("host", "remove", HOST, "--yes")).toMatchObject({ status: 0, err: "" });
    expect(await stored()).toEqual({ config: null, route: null });
    expect(await bed.redis.exists(`oauth:key:${HOST}`, "oauth:client:one", `cert:${HOST}`)).toBe(3);
    expect(bed.json("host", "remove", HOST, "--yes")).toEqual([expect.objectContaining({ removed: false })]);
    expect(bed.json("host", "remove", HOST, "--yes", "--purge")).toEqual([
      expect.objectContaining({ removed: true, purged_keys: 7 }),
    ]);
    expect(await bed.redis.keys("*")).toEqual(["oauth:token:two"]);
  });

  test("restart says what to do where no systemd is", () => {
    bed.run("host", "add", HOST, ...TARGET, "--route", "13001");
    if (!existsSync("/run/systemd/system"))
      expect(bed.run("host", "restart", HOST).out).toContain("No systemd unit runs simple.example.com here");
    expect(bed.run("host", "restart", "nobody.example.com").status).toBe(1);
  });

  test("where systemd runs, the units of the host are enabled, restarted, disabled", async () => {
    const bin = join(bed.server.socketPath, "../bin");
    await mkdir(bin, { recursive: true });
    // The steps themselves are tested where they are: deploy/test/systemd-steps.test.ts, and in a real systemd by test:nspawn.
    const helper = join(bin, "units");
    await writeFile(
      helper,
      `#!/bin/sh\necho "$*" >>${bin}/calls\n[ "$*" != "next instance drains.example.com" ] || exit 75\n`,
    );
    await chmod(helper, 0o755);
    const runner = new SystemdRunner(helper);
    await runner.start(hostname(HOST), `unix:/run/gatehouse/${HOST}.sock`);
    await runner.restart(hostname(HOST));
    await runner.stop(hostname(HOST));
    expect(await readFile(join(bin, "calls"), "utf8")).toBe(
      `enable instance ${HOST}\nnext instance ${HOST}\ndisable instance ${HOST}\n`,
    );
    await expect(runner.restart(hostname("drains.example.com"))).rejects.toThrow("still drains; try again");
    // The units listen on a socket: with a port the operator starts the instance.
    expect(await runner.start(hostname(HOST), "13001")).toContain("Start its instance:");
  });

  test("every verb has a help with an example; Redis away is exit 1, a bad URL 78", () => {
    for (const verb of "add list show set remove restart".split(" ")) {
      expect(bed.run("host", verb, "--help").out).toMatch(
        new RegExp(`Usage: gatehouse host ${verb}[^]*--json[^]*Example: `),
      );
    }
    const away = { REDIS_URL: "unix:///nowhere/redis.sock" };
    const run = bed.runWith(away, "host", "list");
    expect([run.status, run.out, run.err]).toEqual([1, "", expect.stringContaining("Redis did not answer")]);
    expect(bed.runWith({ REDIS_URL: "http://x" }, "host", "list").status).toBe(78);
  });
});
