import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import fc from "fast-check";
import {
  afterFailure,
  afterSuccess,
  notBeforeWhenAsked,
  parseAttempts,
  type Attempts,
} from "@gatehouse/shared/acme-attempts";
import { renewalIdentifier } from "../src/acme/renewal-info.ts";
import { renewalTime } from "../src/acme/renewal-time.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const directory = "https://ca.example/dir";

/** RFC 9773 appendix A; valid from year 0 on, for no time at all. */
const RFC9773_EXAMPLE = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`;

/** Fails as soon as it may, for so long; returns when each attempt began. */
function failFor(milliseconds: number, random: () => number, retryAfterMs?: number): number[] {
  const began: number[] = [];
  let attempts: Attempts | undefined;
  for (let now = 1_000_000; now < 1_000_000 + milliseconds; now = attempts.not_before) {
    began.push(now);
    attempts = afterFailure(attempts, {
      directory,
      beganAt: now,
      now,
      problem: "x",
      random: random(),
      retryAfterMs,
    });
  }
  return began;
}

const waits = (began: readonly number[]): number[] =>
  began.slice(1).map((at, index) => at - (began[index] ?? 0));

describe("after failures", () => {
  test("the wait doubles from a minute to a day", () => {
    const minutes = waits(failFor(10 * 24 * HOUR, () => 0)).map((wait) => Math.round(wait / MINUTE));
    expect(minutes.slice(0, 4)).toEqual([1, 2, 4, 8]);
    expect(Math.max(...minutes)).toBe(24 * 60);
    expect(minutes.at(-1)).toBe(24 * 60);
  });

  test("no hour sees more than five, whatever chance does", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (stream) => {
        const began = failFor(24 * HOUR, () => stream.next().value ?? 0);
        for (const at of began) {
          expect(began.filter((other) => other >= at && other <= at + HOUR).length).toBeLessThanOrEqual(5);
        }
      }),
    );
  });

  test("the authority's own wait is the least", () => {
    expect(waits(failFor(9 * HOUR, () => 0, 3 * HOUR))).toEqual([3 * HOUR, 3 * HOUR]);
  });

  test("what failed elsewhere, or is no document, counts nothing", () => {
    const attempts = afterFailure(undefined, { directory, beganAt: 1, now: 1, problem: "x", random: 0 });
    expect(parseAttempts(JSON.stringify(attempts), directory)).toEqual(attempts);
    expect(parseAttempts(JSON.stringify(attempts), "https://other.example/dir")).toBeUndefined();
    expect(parseAttempts("{", directory)).toBeUndefined();
    expect(parseAttempts(null, directory)).toBeUndefined();
  });
});

describe("when an operator asks", () => {
  test("no hour sees more than five failures, whatever succeeds in between", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.boolean()), (successes) => {
        const failed: number[] = [];
        let attempts: Attempts | undefined;
        for (let now = 1_000_000; now < 1_000_000 + 6 * HOUR;) {
          if (successes.next().value === true) attempts = afterSuccess(attempts, now);
          else {
            failed.push(now);
            attempts = afterFailure(attempts, { directory, beganAt: now, now, problem: "x", random: 0 });
          }
          now = Math.max(now + MINUTE, notBeforeWhenAsked(attempts));
        }
        for (const at of failed)
          expect(failed.filter((other) => other >= at && other <= at + HOUR).length).toBeLessThanOrEqual(5);
      }),
    );
  });

  test("the doubled wait does not hold, the authority's own does", () => {
    const failure = { directory, beganAt: 1000, now: 2000, problem: "x", random: 0 };
    expect(notBeforeWhenAsked(afterFailure(undefined, failure))).toBe(0);
    const busy = afterFailure(undefined, { ...failure, retryAfterMs: HOUR });
    expect(notBeforeWhenAsked(busy)).toBe(2000 + HOUR);
    expect(notBeforeWhenAsked(undefined)).toBe(0);
  });

  test("a success leaves nothing behind when the last hour saw no failure", () => {
    const old = afterFailure(undefined, { directory, beganAt: 1, now: 1, problem: "x", random: 0 });
    expect(afterSuccess(old, 1 + HOUR)).toBeUndefined();
    expect(afterSuccess(old, HOUR)).toMatchObject({ failures: 0, began_at: [1], not_before: 0 });
    expect(afterSuccess(undefined, 1)).toBeUndefined();
  });
});

describe("renewal information (RFC 9773)", () => {
  test("a certificate is named as in section 4.1", () => {
    expect(renewalIdentifier(RFC9773_EXAMPLE)).toBe("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
  });

  test("the time lies in the window, the same however often it is asked", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gatehouse-schedule-"));
    const authority = await createCertificateAuthority(directory);
    const { certPem } = await authority.issue(["a.example"]);
    await rm(directory, { recursive: true });
    const start = Date.now() + 24 * HOUR;
    const at = renewalTime(certPem, { start, end: start + HOUR });
    expect(at).toBeGreaterThanOrEqual(start);
    expect(at).toBeLessThan(start + HOUR);
    expect(renewalTime(certPem, { start, end: start + HOUR })).toBe(at);
    // The testbed's certificates live for eight days: a fiftieth is less than four hours.
    expect(renewalTime(certPem, { start: 0, end: 1 })).toBeGreaterThan(Date.now() + 2 * HOUR);
    const late = Date.now() + 1000 * 24 * HOUR;
    expect(renewalTime(certPem, { start: late, end: late + 1 })).toBeLessThan(Date.now() + 8 * 24 * HOUR);
  });
});
