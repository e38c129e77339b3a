import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { randomBytes } from "node:crypto";
import { Harness, PEER_FIELD, PUBLIC_CLIENT, type Answer } from "./support/authorization-server-harness.ts";
import { LoginHarness } from "./support/login-harness.ts";

const LIMITS = {
  authorizations: 8,
  authorizationsPerClient: 6,
  failures: 9,
  failuresPerClient: 4,
  failuresPerCredential: 2,
};

let host: Harness;

beforeEach(async () => {
  host = await Harness.start({
    options: { abuseLimits: LIMITS, registrationLimits: { perRedirectHost: 3, total: 18 } },
  });
});

afterEach(async () => {
  await host.stop();
});

const madeUp = () => randomBytes(32).toString("base64url");
const refusal = (client_id: string, refresh_token = madeUp()) => ({
  grant_type: "refresh_token",
  client_id,
  refresh_token,
});

async function statuses(count: number, ask: () => Promise<Answer>): Promise<number[]> {
  const all: number[] = [];
  for (let index = 0; index < count; index += 1) all.push((await ask()).status);
  return all;
}

function expectLimited(answer: Answer, reason: string): void {
  expect(answer.status).toBe(429);
  expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  const steps = host.records.filter((record) => record.reason === reason).map(({ event }) => event);
  expect(steps).toHaveLength(2);
  expect(steps).toContain("request_ended");
}

describe("refused token requests", () => {
  test("of one client from one address end in 429 with Retry-After, on record", async () => {
    const ask = async () => await host.post("/token", refusal("somebody"));
    expect(await statuses(4, ask)).not.toContain(429);
    const refused = await ask();
    expect(refused.json["error"]).toBe("temporarily_unavailable");
    expectLimited(refused, "too_many_failures");
  });

  test("never lock out who shows a token of this host: not as the same client behind the same address", async () => {
    const { answer, form, refresh } = await host.tokens();
    const { client_id = "" } = form;
    expect(await statuses(6, async () => await host.post("/token", refusal(client_id)))).toContain(429);
    const refreshed = await host.post("/token", refresh(answer.json["refresh_token"]));
    expect(refreshed.status).toBe(200);
    const introspected = await host.post("/introspect", { token: refreshed.json["access_token"], client_id });
    expect(introspected.json["active"]).toBe(true);
  });

  test("nor who shows a code, when all together have failed too often", async () => {
    const flow = await host.code();
    const flood = async () => await host.post("/token", refusal(madeUp()));
    expect(await statuses(12, flood)).toContain(429);
    expect((await host.post("/token", flow.form)).status).toBe(200);
  });

  test("of one client leave another behind the same address alone, and the same one elsewhere", async () => {
    await statuses(5, async () => await host.post("/token", refusal("somebody")));
    expect((await host.post("/token", refusal("somebody"))).status).toBe(429);
    expect((await host.post("/token", refusal("another"))).status).toBe(401);
    const elsewhere = { [PEER_FIELD]: "192.0.2.9" };
    expect((await host.post("/token", refusal("somebody"), elsewhere)).status).toBe(401);
  });

  test("with one and the same token are counted by that token, wherever they come from, though it is one of this host", async () => {
    const { answer, form } = await host.tokens();
    const { client_id = "" } = form;
    const stolen = answer.json["refresh_token"] as string;
    let peer = 0;
    const guess = async () =>
      await host.post("/token", refusal("somebody-else", stolen), { [PEER_FIELD]: `192.0.2.${(peer += 1)}` });
    expect(await statuses(3, guess)).toEqual([401, 401, 429]);
    expect((await host.post("/token", refusal(client_id))).status).toBe(400);
  });

  test("wrong secrets at /revoke and /introspect are counted with them", async () => {
    const client = await host.register({
      ...PUBLIC_CLIENT,
      token_endpoint_auth_method: "client_secret_basic",
    });
    const client_id = client.json["client_id"] as string;
    const wrong = `Basic ${Buffer.from(`${client_id}:wrong`).toString("base64")}`;
    const ask = async (path: string) => await host.post(path, { token: madeUp() }, { authorization: wrong });
    expect(await statuses(2, async () => await ask("/revoke"))).toEqual([401, 401]);
    expect(await statuses(2, async () => await ask("/introspect"))).toEqual([401, 401]);
    expect((await ask("/introspect")).status).toBe(429);
    expect((await ask("/revoke")).status).toBe(429);
  });

  test("successes are never counted", async () => {
    const { answer, refresh } = await host.tokens();
    let token = answer.json["refresh_token"] as string;
    for (let count = 0; count < 12; count += 1) {
      const refreshed = await host.post("/token", refresh(token));
      expect(refreshed.status).toBe(200);
      token = refreshed.json["refresh_token"];
    }
  });
});

describe("started authorizations", () => {
  const start = async (client_id: string, ip = "192.0.2.1") =>
    await host.request(`/authorize?client_id=${client_id}`, { headers: { [PEER_FIELD]: ip } });

  test("of one client from one address end in a page with 429 and Retry-After, on record", async () => {
    expect(await statuses(6, async () => await start("somebody"))).not.toContain(429);
    expectLimited(await start("somebody"), "too_many_authorizations");
    expect((await start("somebody", "192.0.2.2")).status).not.toBe(429);
  });

  test("that use up what there is in all leave every other address its share", async () => {
    expect(await statuses(14, async () => await start(madeUp()))).toContain(429);
    expect(await statuses(5, async () => await start("honest", "192.0.2.2"))).not.toContain(429);
    expect((await start("honest", "192.0.2.2")).status).toBe(429);
  });
});

describe("registrations", () => {
  const register = async (uri: string, ip: string) =>
    await host.request("/register", {
      method: "POST",
      headers: { "content-type": "application/json", [PEER_FIELD]: ip },
      body: JSON.stringify({ ...PUBLIC_CLIENT, redirect_uris: [uri] }),
    });

  test("that name an assistant's redirect host leave the assistant's own alone", async () => {
    const uri = "https://assistant.example/callback";
    expect(await statuses(4, async () => await register(uri, "192.0.2.1"))).toEqual([201, 201, 201, 429]);
    expect((await register(uri, "198.51.100.1")).status).toBe(201);
  });

  test("of one address, whatever they name, leave others more than their share", async () => {
    let index = 0;
    const from = (ip: string) => async () => await register(`https://host-${(index += 1)}.example/cb`, ip);
    expect(await statuses(20, from("192.0.2.1"))).toEqual([...Array(6).fill(201), ...Array(14).fill(429)]);
    expect(await statuses(6, from("198.51.100.1"))).toEqual(Array(6).fill(201));
  });

  test("that use up what there is in all leave every other address its share", async () => {
    let index = 0;
    const flood = async () =>
      await register(`https://host-${(index += 1)}.example/cb`, `192.0.2.${1 + (index % 4)}`);
    expect(await statuses(24, flood)).toContain(429);
    expect((await register("https://honest.example/cb", "198.51.100.1")).status).toBe(201);
  });
});

test("answers of the consent page are limited per login, and the page says so", async () => {
  const bed = await LoginHarness.start({ login: { consentsPerLogin: 2 } });
  const browser = bed.browser();
  const { url } = await bed.authorization();
  const page = await browser.open(url);
  // Two approvals that stop at the provider, where nobody has signed in.
  const ends = [await browser.submit(page), await browser.submit(page), await browser.submit(page)];
  expect(ends.map(({ status }) => status === 429)).toEqual([false, false, true]);
  expect(new Headers(ends[2]?.headers as Record<string, string>).get("retry-after")).not.toBeNull();
  expect(bed.recorded("consent_refused").map(({ reason }) => reason)).toEqual(["too_many_consents"]);
  const another = await browser.open((await bed.authorization()).url);
  expect((await browser.submit(another)).status).not.toBe(429);
  await bed.stop();
});
