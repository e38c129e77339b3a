import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { renderRecord } from "@gatehouse/shared/log-record";
import { LogBed } from "./support/log-bed.ts";
import { STORY } from "./support/story.ts";

let bed: LogBed;

beforeAll(async () => {
  bed = await LogBed.open();
  await bed.store(STORY);
});
afterAll(async () => {
  await bed?.close();
});

/** The records of the story with these numbers, as they are printed. */
function printed(...numbers: number[]): string {
  return numbers.map((number) => `${STORY[number] && renderRecord(STORY[number])}\n`).join("");
}

describe("gatehouse log", () => {
  test("prints the form of the contract, newest last, and nothing else", () => {
    expect(bed.log("ip", "34.162.102.82", "--limit", "2", "--until", "2025-08-30T08:07:03.101Z").out).toBe(
      printed(0),
    );
    const { status, out, err } = bed.log("hostname", "fast-echo.example.com");
    expect([status, err]).toEqual([0, ""]);
    expect(out)
      .toBe(`[2025-08-30 08:07:03.101Z] [proxy_handler] ✓ 200 POST /mcp tools/call get_weather (197ms)
  Client: 34.162.102.82 → Proxy: fast-echo.example.com → http://127.0.0.1:3001
  Auth: (empty)
  Ids: conn=c-01JD5K2Z8Q6V4R7XN3M9T0B1HC req=req-01JD5K3000000000000000000B
`);
  });

  test.each<[string[], number[]]>([
    [
      ["ip", "34.162.102.82"],
      [0, 1, 2, 3, 5, 6],
    ],
    [["ip", "34.162.0.0/16", "--errors"], [6]],
    [["ip", "2001:db8:85a3:8d3:1319:8a2e:370:7348"], [7]],
    [["ip", "2001:0DB8::/32"], [7]],
    [["ip", "::ffff:203.0.113.9"], [4]],
    [
      ["hostname", "Simple-OAuth.example.com."],
      [0, 2, 3, 5],
    ],
    [["hostname", "nobody-here.example"], [4]],
    [
      ["user", "OctoCat"],
      [0, 3],
    ],
    [
      ["user", "github:583231"],
      [0, 3],
    ],
    [
      ["client", "client_VSMC7orqn6WQoElOov-Zvw"],
      [0, 3],
    ],
    [["request", "req-01JD5K3000000000000000000C"], [2]],
    [
      ["connection", "c-01JD5K2Z8Q6V4R7XN3M9T0B1HC"],
      [0, 1, 2, 3, 5, 6],
    ],
    [["status", "401"], [2]],
    [["status", "4xx"], [2]],
    [
      ["status", "300-502"],
      [2, 6, 7],
    ],
    [["errors"], [6]],
    [["slow"], [6, 7]],
    [
      ["slow", "196"],
      [1, 6, 7],
    ],
    [
      ["ip", "0.0.0.0/0", "--level", "warn"],
      [2, 4, 6],
    ],
    [["hostname", "simple-oauth.example.com", "--user", "octocat", "--limit", "1"], [3]],
    [
      ["ip", "0.0.0.0/0", "--since", "2025-08-30 08:07:09.500Z", "--limit", "all"],
      [5, 6],
    ],
    [["status", "301", "--since", "2025-08-31"], [7]],
    [["ip", "34.162.102.82", "--limit", "0"], []],
  ])("%j finds the records %j", (args, numbers) => {
    const { status, out, err } = bed.log(...args);
    expect([status, err]).toEqual([0, ""]);
    if (numbers.length > 0) expect(out).toBe(printed(...numbers));
    else expect(out).toMatch(/^no records/);
  });

  test("--json prints one object a line, with every field of the contract", () => {
    const { out } = bed.log("request", "req-01JD5K3000000000000000000B", "--json");
    expect(out.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toEqual({
      time: "2025-08-30T08:07:03.101Z",
      level: "info",
      component: "proxy_handler",
      event: "request_ended",
      hostname: "fast-echo.example.com",
      ip: "34.162.102.82",
      conn: "c-01JD5K2Z8Q6V4R7XN3M9T0B1HC",
      req: "req-01JD5K3000000000000000000B",
      method: "POST",
      path: "/mcp",
      status: 200,
      duration_ms: 196.7,
      user: null,
      uid: null,
      scopes: null,
      client_id: null,
      upstream: "http://127.0.0.1:3001",
      mcp_method: "tools/call",
      mcp_tool: "get_weather",
    });
  });

  test("of an address that never came says so, and how far back the record goes", () => {
    const sentence =
      "no records about 198.51.100.1; the oldest record that is kept is of 2025-08-30 08:07:02.893Z\n";
    expect(bed.run(["log-by-ip", "198.51.100.1"])).toEqual({ status: 0, out: sentence, err: "" });
    expect(bed.run(["log-by-ip", "198.51.100.1", "--json"])).toEqual({ status: 0, out: "", err: sentence });
    expect(bed.log("hostname", "nowhere.example", "--status", "5xx", "--since", "2025-01-01").out).toMatch(
      /^no records about nowhere\.example of status 5xx since 2025-01-01; the oldest/,
    );
  });

  test("log-by-ip and log-by-hostname are short forms", () => {
    expect(bed.run(["log-by-ip", "203.0.113.9"]).out).toBe(printed(4));
    expect(bed.run(["log-by-hostname", "nobody-here.example"]).out).toBe(printed(4));
  });

  test.each([
    [["ip"], "log ip takes one value: an IPv4 or IPv6 address"],
    [["ip", "300.1.1.1"], "ip must be an IPv4 or IPv6 address, or a CIDR block such as 10.0.0.0/8; got"],
    [["ip", "10.0.0.0/33"], "ip must be"],
    [["ip", "10.0.0.1", "10.0.0.2"], "log ip takes one value"],
    [["hostname", "not a name"], "hostname must be a hostname"],
    [["request", "c-01JD"], "request must be an id as records print it: req-…"],
    [["status", "teapot"], "status must be a status such as 404"],
    [["status", "500-400"], "status must be"],
    [["slow", "soon"], "slow must be milliseconds"],
    [["errors", "10.0.0.1"], 'log errors takes no value, and got "10.0.0.1"'],
    [["ip", "10.0.0.1", "--since", "yesterday"], "--since must be 30s, 15m"],
    [["ip", "10.0.0.1", "--since", "2025-02-30T99:00"], "--since must be"],
    [["ip", "10.0.0.1", "--since", "1h", "--until", "2h"], "--since must be before --until"],
    [["ip", "10.0.0.1", "--limit", "-1"], "--limit"],
    [["ip", "10.0.0.1", "--limit", "100000"], "--limit must be a number up to 10000, or all"],
    [["ip", "10.0.0.1", "--colour"], "--colour"],
    [["ip", "10.0.0.1", "--level", "loud"], "level must be one of error, warn, info, debug"],
  ])("%j is a usage error that says what is expected", (args, message) => {
    const { status, out, err } = bed.log(...args);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toContain(message);
  });

  test("every verb has a help with an example", () => {
    const overview = bed.run(["gatehouse", "--help"]).out;
    const verbs = [...overview.matchAll(/gatehouse log (\w+)/g)].map(([, verb = ""]) => verb);
    expect(verbs).toEqual("ip hostname user client request connection status errors slow follow".split(" "));
    const { status, out } = bed.log("slow", "--help");
    expect([status, out]).toEqual([
      0,
      expect.stringMatching(/Usage: gatehouse log slow \[MS\][\s\S]*Example: /),
    ]);
  });

  test("says where it looked when there is no Redis, and reads LOG_REDIS_URL first", () => {
    const nowhere = "unix:///nowhere/redis.sock";
    expect(
      bed.run(["log-by-ip", "203.0.113.9"], { REDIS_URL: nowhere, LOG_REDIS_URL: bed.server.url }).out,
    ).toBe(printed(4));
    const away = bed.run(["log-by-ip", "203.0.113.9"], { REDIS_URL: nowhere });
    expect([away.status, away.out]).toEqual([1, ""]);
    expect(away.err).toContain(
      "Redis did not answer: connect ENOENT /nowhere/redis.sock. Where it is, is said by LOG_REDIS_URL or REDIS_URL",
    );
    expect(bed.run(["log-by-ip", "203.0.113.9"], { LOG_REDIS_URL: "http://x" }).status).toBe(78);
    expect(bed.run(["log-by-ip", "203.0.113.9"], { LOG_REDIS_URL: "off" })).toMatchObject({
      status: 1,
      err: expect.stringContaining("nothing is stored"),
    });
  });
});

describe("following", () => {
  async function lines(output: NodeJS.ReadableStream, count: number): Promise<string[]> {
    let text = "";
    for await (const chunk of output) {
      text += String(chunk);
      if (text.split("\n").length > count) break;
    }
    return text.trimEnd().split("\n");
  }

  test("goes on behind the page with what comes, and ends in order", async () => {
    const child = bed.start(["hostname", "follow.example.com", "--json", "--follow"]);
    if (child.stdout === null) throw new Error("no output");
    const record = { ...STORY[1]!, hostname: "follow.example.com" };
    await bed.store([{ ...record, path: "/0" }]);
    const stop = setInterval(() => void bed.store([{ ...record, path: "/later" }, STORY[2]!]), 50);
    const paths = (await lines(child.stdout, 4)).map((line) => (JSON.parse(line) as { path: string }).path);
    clearInterval(stop);
    expect(paths.filter((path) => path === "/0").length).toBeLessThanOrEqual(1);
    expect(paths.filter((path) => path === "/later").length).toBeGreaterThanOrEqual(3);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("waits for a Redis that goes away", async () => {
    const own = await LogBed.open();
    const child = own.start(["follow", "--json", "--limit", "0"]);
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const waitFor = async (text: string): Promise<void> => {
      while (!said.includes(text)) await once(child.stderr ?? child, "data");
    };
    // The first look has been taken once something of ours was told.
    const first = once(child.stdout ?? child, "data");
    const feed = setInterval(() => void own.store([STORY[0]!]).catch(() => undefined), 20);
    await first;
    clearInterval(feed);
    await own.server.kill("SIGKILL");
    await waitFor("Redis does not answer, waiting for it");
    await own.server.restart();
    await waitFor("Redis answers again");
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
    await own.close();
  });

  test("a reader that stops reading is not a failure", async () => {
    const child = bed.start(["ip", "0.0.0.0/0", "--follow"]);
    child.stdout?.destroy();
    const feed = setInterval(() => void bed.store([STORY[1]!]), 20);
    const [status] = (await once(child, "exit")) as [number | null];
    clearInterval(feed);
    expect(status).toBe(0);
  });
});
