import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Harness, PUBLIC_CLIENT, type Answer } from "./support/authorization-server-harness.ts";

let host: Harness;
let client: Answer;
beforeAll(async () => {
  host = await Harness.start();
  client = await host.register(PUBLIC_CLIENT);
});
afterAll(async () => {
  await host.stop();
});

const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async function authorize(parameters: Record<string, string>): Promise<URLSearchParams> {
  const { params } = await host.authorize({
    response_type: "code",
    client_id: client.json["client_id"],
    redirect_uri: "https://client.example/callback",
    state: "st-1",
    ...parameters,
  });
  return params;
}

describe("PKCE is required of every client, with S256", () => {
  test.each([
    ["no challenge", {}],
    ["plain", { code_challenge: CHALLENGE, code_challenge_method: "plain" }],
    ["no method, which would mean plain", { code_challenge: CHALLENGE }],
    ["a challenge that is none", { code_challenge: "short", code_challenge_method: "S256" }],
  ])("%s is refused with a redirect that names issuer and state", async (_name, parameters) => {
    const params = await authorize(parameters);
    expect(params.get("error")).toBe("invalid_request");
    expect(params.get("iss")).toBe(host.origin);
    expect(params.get("state")).toBe("st-1");
    expect(params.has("code")).toBe(false);
  });

  test("the example of RFC 7636 appendix B works", async () => {
    const params = await authorize({ code_challenge: CHALLENGE, code_challenge_method: "S256" });
    const answer = await host.post("/token", {
      grant_type: "authorization_code",
      code: params.get("code") ?? "",
      redirect_uri: "https://client.example/callback",
      client_id: client.json["client_id"],
      code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    });
    expect(answer.status).toBe(200);
  });

  test.each([
    ["without verifier", {}],
    ["with a wrong verifier", { code_verifier: "y".repeat(43) }],
  ])("a token request %s is refused", async (_name, extra) => {
    const params = await authorize({ code_challenge: CHALLENGE, code_challenge_method: "S256" });
    const answer = await host.post("/token", {
      grant_type: "authorization_code",
      code: params.get("code") ?? "",
      redirect_uri: "https://client.example/callback",
      client_id: client.json["client_id"],
      ...extra,
    });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_grant"]);
  });

  test("a confidential client needs it as well", async () => {
    const confidential = await host.register({ redirect_uris: ["https://client.example/callback"] });
    const params = await authorize({ client_id: confidential.json["client_id"] });
    expect(params.get("error")).toBe("invalid_request");
  });
});
