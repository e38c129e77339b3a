/**
 * The same upstream, bare and behind Gatehouse, has to get the same verdicts from the MCP conformance suite: whatever a gateway
 * could do to a request, an answer or a stream that a client would notice shows here as a difference.
 */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { Claude } from "../support/claude.ts";
import { ProtectedGatehouse } from "../support/protected-gatehouse.ts";
import { runConformance, type ConformanceRun, type Revision } from "./conformance-run.ts";
import { openLocalhostShim } from "./localhost-shim.ts";

const OPEN = "conformance.localhost";
const PROTECTED = "conformance-oauth.localhost";
const RUN_TIMEOUT_MS = 180_000;

let upstream: ChildProcess;
let upstreamUrl: string;
let bed: ProtectedGatehouse;
/** Of a person who may everything that the upstream offers. */
let authorization: string;

beforeAll(async () => {
  ({ child: upstream, url: upstreamUrl } = await startUpstream());
  bed = await ProtectedGatehouse.start([
    { hostname: OPEN, upstreamUrl, config: { auth_enabled: false } },
    { hostname: PROTECTED, upstreamUrl },
  ]);
  const claude = new Claude(bed.fetch, bed.origin(PROTECTED));
  await claude.register();
  const { access_token } = await claude.authorize((url) => bed.logIn(url, "octocat"));
  authorization = `Bearer ${access_token}`;
}, RUN_TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  if (upstream) await endProcess(upstream, "SIGTERM", 5000);
});

const bareRuns = new Map<Revision, Promise<ConformanceRun>>();

/** Runs the bare upstream once per revision; the tests of that revision share what came out. */
function bareRun(revision: Revision): Promise<ConformanceRun> {
  const url = `${upstreamUrl.replace("127.0.0.1", "localhost")}/mcp`;
  const run = bareRuns.get(revision) ?? runConformance(url, revision);
  bareRuns.set(revision, run);
  return run;
}

describe.each([
  // The unscored rest of the second set is the tasks extension, which no released SDK serves.
  { revision: "2025-11-25", passed: 84, failed: 0 },
  { revision: "2026-07-28", passed: 164, failed: 30 },
] as const)("MCP conformance, requirements of $revision", ({ revision, passed, failed }) => {
  test(
    "the bare upstream passes every scored scenario",
    async () => {
      expect(await bareRun(revision)).toMatchObject({ exitCode: 0, passed, failed });
    },
    RUN_TIMEOUT_MS,
  );

  test.each([
    { hostname: OPEN, protocol: "http/1.1" },
    { hostname: OPEN, protocol: "h2" },
    { hostname: PROTECTED, protocol: "http/1.1" },
    { hostname: PROTECTED, protocol: "h2" },
  ] as const)(
    "through $hostname over $protocol every check has the same verdict",
    async ({ hostname, protocol }) => {
      const bare = await bareRun(revision);
      const { port, caPem } = bed.gatehouse;
      const credentials = hostname === PROTECTED ? { authorization } : {};
      const shim = await openLocalhostShim({ hostname, port, caPem, protocol, ...credentials });
      try {
        expect(await runConformance(`${shim.url}/mcp`, revision)).toEqual(bare);
      } finally {
        await shim.close();
      }
    },
    RUN_TIMEOUT_MS,
  );
});

async function startUpstream(): Promise<{ child: ChildProcess; url: string }> {
  const main = `${import.meta.dirname}/fixture/main.ts`;
  const child = startGuarded(process.execPath, [main, OPEN, PROTECTED], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (!child.stdout) throw new Error("the upstream has no stdout");
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^listening (http:\S+)\/mcp$/.exec(line)?.[1];
    if (url !== undefined) return { child, url };
  }
  throw new Error("the upstream ended before it listened");
}
