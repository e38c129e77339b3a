import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { freePort } from "@gatehouse/testbed/free-ports";
import { readDoctorRequest } from "../doctor/request.ts";

function doctor(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    join(import.meta.dirname, "../gatehouse"),
    ["doctor", ...args],
    {
      encoding: "utf8",
      env: { PATH: process.env["PATH"] },
    },
  );
  return { status, out: stdout, err: stderr };
}

test("--help teaches; words it can't use are a usage error", () => {
  expect(doctor("--help")).toMatchObject({ status: 0, out: expect.stringContaining("--stream-seconds") });
  expect(doctor()).toMatchObject({ status: 2, err: expect.stringContaining("gatehouse doctor HOST") });
});

test("prints each step with finding, cause, fix and clause, and fails when one did", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const run = doctor("simple.example.com", "--address", address);
  expect([run.status, run.err]).toEqual([1, ""]);
  expect(run.out).toMatch(
    /^✗ tcp\.connect: .*\n {4}port \d+ takes .*ECONNREFUSED\n {4}cause: .*\n {4}fix: .*\n {4}see: {3}RFC 9293/m,
  );
  expect(run.out).toMatch(/^- config\.host: .*\n {4}no REDIS_URL is set/m);
  expect(run.out).toMatch(/\n0 passed, 1 failed, \d+ skipped\n$/);

  const lines = doctor("simple.example.com", "--address", address, "--json").out.trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line) as { id: string; outcome: string; fix?: string });
  expect(steps.find(({ id }) => id === "tcp.connect")).toMatchObject({
    outcome: "fail",
    fix: expect.stringContaining("LISTEN"),
  });
});

test.each([
  ["an address for a host", ["10.0.0.7"]],
  ["two hosts", ["a.example", "b.example"]],
  ["clear text", ["http://a.example"]],
  ["an address without a port", ["a.example", "--address", "10.0.0.7"]],
  ["a client nobody knows", ["a.example", "--as", "netscape"]],
  ["no time at all", ["a.example", "--stream-seconds", "0"]],
  ["a login and a token", ["a.example", "--login", "--token", "x"]],
  ["an authority that is not there", ["a.example", "--ca", "/nowhere/ca.pem"]],
])("refuses %s", (_, args) => {
  expect(() => readDoctorRequest(args, {})).toThrow(expect.objectContaining({ name: "UsageError" }));
});

test.each([
  [["A.example"], { hostname: "a.example", port: 443 }],
  [["a.example:8443"], { port: 8443 }],
  [["a.example", "--address", "10.0.0.7:8443"], { port: 8443, address: { host: "10.0.0.7", port: 8443 } }],
  [
    ["a.example:443", "--address", "[2001:db8::7]:8443"],
    { port: 443, address: { host: "2001:db8::7", port: 8443 } },
  ],
  [["https://a.example/api/mcp"], { port: 443, path: "/api/mcp" }],
])("reads %j", (args, expected) => {
  expect(readDoctorRequest(args, {})).toMatchObject(expected);
});

test("takes the token from the environment", () => {
  expect(readDoctorRequest(["a.example"], { GATEHOUSE_DOCTOR_TOKEN: "secret" }).token).toBe("secret");
  expect(readDoctorRequest(["a.example"], {}).token).toBeUndefined();
});
