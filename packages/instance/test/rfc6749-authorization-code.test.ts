import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Harness } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

describe("RFC 6749 section 4.1: the code flow", () => {
  test("a registered client gets a code, an access token and a refresh token", async () => {
    const { end, answer } = await host.tokens();
    expect(end.location?.origin).toBe("https://client.example");
    expect(end.params.get("state")).toBe("st-1");
    expect(end.params.get("iss")).toBe("https://simple-oauth.example.com");
    expect(answer.text).toContain("access_token");
    expect(answer.status).toBe(200);
  });
});
