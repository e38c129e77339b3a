import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { codeKey } from "@gatehouse/shared/redis-keys";
import { Harness, PUBLIC_CLIENT, type TokenFlow } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

async function isActive(flow: TokenFlow, token: string): Promise<boolean> {
  const { client_id = "" } = flow.form;
  return (await host.post("/introspect", { client_id, token })).json["active"];
}

describe("an authorization code is redeemed once", () => {
  test("twenty parallel redemptions give one 200, and what it got is revoked by the nineteen", async () => {
    const flow = await host.code();
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => await host.post("/token", flow.form)),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    for (const { status, json } of answers.filter((answer) => answer !== won[0])) {
      // Who shows one refused code again and again is limited besides (docs/abuse-limits.md); it was revoked by then.
      expect(["400 invalid_grant", "429 temporarily_unavailable"]).toContain(
        `${status} ${String(json["error"])}`,
      );
    }
    const { client_id = "" } = flow.form;
    for (const token of [won[0]?.json["access_token"], won[0]?.json["refresh_token"]]) {
      expect((await host.post("/introspect", { client_id, token })).json).toEqual({ active: false });
    }
    // Nothing of the grant is left but the client, the signing keys and the counters.
    expect((await host.redis.keys("oauth:token:*")).length).toBe(0);
    expect((await host.redis.keys("oauth:refresh:*")).length).toBe(0);
    expect((await host.redis.keys("oauth:grant:*")).length).toBe(0);
  });

  test("a replay revokes access and refresh token of the first use (RFC 6749 section 4.1.2)", async () => {
    const flow = await host.tokens();
    expect(await isActive(flow, flow.answer.json["access_token"])).toBe(true);
    expect((await host.post("/token", flow.form)).json["error"]).toBe("invalid_grant");
    expect(await isActive(flow, flow.answer.json["access_token"])).toBe(false);
    const refreshed = await host.post("/token", flow.refresh(flow.answer.json["refresh_token"]));
    expect(refreshed.json["error"]).toBe("invalid_grant");
  });

  test("a replay long after the code's minute revokes too", async () => {
    const flow = await host.tokens();
    const key = codeKey(flow.form["code"] ?? "");
    const record = JSON.parse((await host.redis.get(key)) ?? "");
    record.payload.exp -= 86_400;
    await host.redis.set(key, JSON.stringify(record), "KEEPTTL");
    expect((await host.post("/token", flow.form)).json["error"]).toBe("invalid_grant");
    expect(await isActive(flow, flow.answer.json["access_token"])).toBe(false);
  });

  test("a replay without the verifier, or by another client, revokes nothing", async () => {
    const flow = await host.tokens();
    const thief = await host.register(PUBLIC_CLIENT);
    const attempts = [
      { ...flow.form, code_verifier: "x".repeat(43) },
      { ...flow.form, client_id: thief.json["client_id"] },
    ];
    for (const form of attempts)
      expect((await host.post("/token", form)).json["error"]).toBe("invalid_grant");
    expect(await isActive(flow, flow.answer.json["access_token"])).toBe(true);
  });

  test("an unused code ends after a minute", async () => {
    const flow = await host.code();
    const left = await host.redis.ttl(codeKey(flow.form["code"] ?? ""));
    expect(left).toBeGreaterThan(50);
    expect(left).toBeLessThanOrEqual(60);
  });

  test("a code is bound to its redirect URI", async () => {
    const flow = await host.code();
    const answer = await host.post("/token", { ...flow.form, redirect_uri: "https://client.example/other" });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_grant"]);
  });
});
