import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

const A = { target_url: "http://127.0.0.1:3000", github_client_id: "Iv1.0", github_client_secret: "s3cret" };
const B = {
  target_url: "http://127.0.0.1:3001",
  custom_headers: { Authorization: "Bearer k3y", "X-Env": "prod" },
};
let bed: CommandBed;
let directory: string;
let file: string;

beforeAll(async () => {
  bed = await CommandBed.open();
  directory = await mkdtemp("/tmp/gatehouse-test-");
  file = join(directory, "hosts.json");
});
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
  await rm(directory, { recursive: true, force: true });
});

async function seed(): Promise<Record<string, string>> {
  const values = {
    "proxy:a.example.com": JSON.stringify(A),
    "proxy:b.example.com": JSON.stringify(B),
    "route:a.example.com": "13001",
    "route:b.example.com": "unix:/run/b.sock",
    "route:*": "10.0.0.9:443;proxy=off",
  };
  await bed.redis.mset(values);
  return values;
}

async function everything(): Promise<Record<string, string | null>> {
  const keys = (await bed.redis.keys("*")).sort((one, other) => (one < other ? -1 : 1));
  const pairs = await Promise.all(keys.map(async (key) => [key, await bed.redis.get(key)] as const));
  return Object.fromEntries(pairs);
}

async function edited(change: (hosts: Record<string, Record<string, unknown>>) => void): Promise<void> {
  const document = JSON.parse(await readFile(file, "utf8")) as {
    hosts: Record<string, Record<string, unknown>>;
  };
  change(document.hosts);
  await writeFile(file, JSON.stringify(document));
}

describe("gatehouse config", () => {
  test("what was exported makes the same hosts elsewhere, and changes nothing here", async () => {
    const values = await seed();
    expect(bed.json("config", "export", file, "--secrets")).toEqual([{ file, names: 3 }]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(bed.run("config", "apply", file)).toMatchObject({
      status: 0,
      out: "nothing to change\n",
      err: "",
    });
    await bed.redis.flushall();
    const run = bed.run("config", "apply", file, "--yes");
    expect(run.status).toBe(0);
    expect(run.out).toMatch(
      /^\+ \*\n {4}route: \(not set\) -> 10\.0\.0\.9:443;proxy=off\n\+ a\.example\.com\n/,
    );
    expect(run.out).not.toMatch(/s3cret|k3y/);
    expect(run.err).toContain("GATEHOUSE_HOSTNAME=a.example.com");
    expect(await everything()).toEqual(values);
  });

  test("leaves secrets out, and keeps those that are stored", async () => {
    const values = await seed();
    const { out } = bed.run("config", "export");
    expect(out).not.toMatch(/s3cret|k3y/);
    await writeFile(file, out);
    await edited((hosts) => {
      hosts["a.example.com"] = {
        config: { ...(hosts["a.example.com"]?.["config"] as object), maintenance: true },
      };
    });
    const dry = bed.run("config", "apply", file, "--dry-run");
    expect(dry.out).toBe("~ a.example.com\n    maintenance: (not set) -> true\n");
    expect(await everything()).toEqual(values);
    expect(bed.json("config", "apply", file, "--yes")).toEqual([
      { name: "a.example.com", change: "change", lines: ["maintenance: (not set) -> true"] },
    ]);
    expect(JSON.parse((await everything())["proxy:a.example.com"] ?? "")).toEqual({
      ...A,
      maintenance: true,
    });
    expect(bed.run("config", "apply", file).out).toBe("nothing to change\n");
    // Elsewhere there is nothing to keep: half an app is a problem that is told.
    await bed.redis.flushall();
    const elsewhere = bed.run("config", "apply", file, "--yes");
    expect([elsewhere.status, elsewhere.err]).toEqual([
      78,
      expect.stringContaining("a.example.com: github_client_id, github_client_secret"),
    ]);
    expect(await everything()).toEqual({});
  });

  test("removes what the file does not name only with --prune, and asks", async () => {
    await seed();
    bed.run("config", "export", file);
    await edited((hosts) => {
      delete hosts["b.example.com"];
      delete hosts["*"];
    });
    const kept = bed.run("config", "apply", file);
    expect([kept.out, kept.err]).toEqual([
      "nothing to change\n",
      expect.stringContaining("*, b.example.com"),
    ]);
    const asked = bed.run("config", "apply", file, "--prune");
    expect([asked.status, asked.out]).toEqual([2, expect.stringContaining("- b.example.com")]);
    expect(Object.keys(await everything())).toHaveLength(5);
    expect(bed.run("config", "apply", file, "--prune", "--yes").status).toBe(0);
    expect(Object.keys(await everything())).toEqual(["proxy:a.example.com", "route:a.example.com"]);
  });

  test("every problem of every host at once, and nothing is written", async () => {
    const hosts = {
      "a.example.com": { config: { target_url: "ftp://x", colour: "red" } },
      "b.example.com": { config: { target_url: "http://x", auth_enabled: true }, route: "13001" },
    };
    await writeFile(file, JSON.stringify({ format: "gatehouse-config/1", hosts }));
    const run = bed.run("config", "apply", file, "--yes");
    expect([run.status, run.out]).toEqual([78, ""]);
    for (const line of [
      "a.example.com: target_url",
      "a.example.com: colour",
      "b.example.com: auth_required_users",
    ])
      expect(run.err).toContain(line);
    const broken = {
      "not a name": {},
      "c.example.com": { rout: "1" },
      "d.example.com": { route: "0" },
      "*": { config: {} },
    };
    await writeFile(file, JSON.stringify({ format: "gatehouse-config/1", hosts: broken }));
    const second = bed.run("config", "apply", file, "--yes");
    for (const line of ["not a name: must be", 'c.example.com: has "rout"', "the port must be", "*: "])
      expect(second.err).toContain(line);
    await writeFile(file, JSON.stringify({ hosts }));
    expect(bed.run("config", "apply", file).err).toContain('"format": "gatehouse-config/1"');
    expect(bed.run("config", "apply", "/no/file").status).toBe(2);
    expect(await everything()).toEqual({});
  });

  test("an export leaves nothing out in silence", async () => {
    await bed.redis.set("proxy:bad.example.com", "not json");
    expect(bed.run("config", "export")).toMatchObject({
      status: 78,
      out: "",
      err: expect.stringContaining("bad.example.com"),
    });
  });
});
