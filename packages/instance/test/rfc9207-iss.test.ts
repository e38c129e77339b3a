import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Harness } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

describe("RFC 9207: every response names the issuer, byte for byte as in the metadata", () => {
  test("on success", async () => {
    const { end } = await host.code();
    const { json } = await host.request("/.well-known/oauth-authorization-server");
    expect(end.params.getAll("iss")).toEqual([json["issuer"]]);
    expect(json["authorization_response_iss_parameter_supported"]).toBe(true);
  });

  test.each([
    ["a response mode that is not offered", { response_mode: "form_post" }, "unsupported_response_mode"],
    ["prompt=none, which can't be", { prompt: "none" }, "login_required"],
    ["a request object", { request: "e30.e30." }, "request_not_supported"],
    ["a repeated scope", { scope: "mcp" }, "invalid_request"],
    ["a repeated response_mode", { response_mode: "query" }, "invalid_request"],
    ["a repeated prompt", { prompt: "consent" }, "invalid_request"],
  ])("on %s", async (name, parameters, error) => {
    const flow = await host.register({
      redirect_uris: ["https://client.example/cb"],
      token_endpoint_auth_method: "none",
    });
    const query = new URLSearchParams({
      response_type: "code",
      client_id: flow.json["client_id"],
      redirect_uri: "https://client.example/cb",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256",
      state: "st-2",
      ...parameters,
    });
    const repeated = /^a repeated (.*)$/.exec(name)?.[1];
    if (repeated !== undefined) query.append(repeated, query.get(repeated) ?? "");
    const { location, params } = await host.authorize(query);
    expect(location?.origin).toBe("https://client.example");
    expect(params.get("iss")).toBe(host.origin);
    expect(params.get("state")).toBe("st-2");
    expect(params.get("error")).toBe(error);
  });

  test.each(["token", "id_token", "code id_token"])(
    "on response_type %s, which answers in the fragment (RFC 6749 section 4.2.2.1)",
    async (responseType) => {
      const { end } = await host.code({ parameters: { response_type: responseType } });
      const fragment = new URLSearchParams(end.location?.hash.slice(1));
      expect(fragment.get("error")).toBe("unsupported_response_type");
      expect(fragment.get("iss")).toBe(host.origin);
    },
  );

  test("when the person is refused", async () => {
    host.login.refusal = "not on the list";
    const { end } = await host.code();
    host.login.refusal = undefined;
    expect(end.params.get("error")).toBe("access_denied");
    expect(end.params.get("error_description")).toBe("not on the list");
    expect(end.params.get("iss")).toBe(host.origin);
  });
});
