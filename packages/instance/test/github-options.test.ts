import { describe, expect, test } from "@jest/globals";
import { GITHUB_OPTIONS, githubSettings } from "../src/authorization-server/github-options.ts";

describe("GITHUB_URL and GITHUB_API_URL", () => {
  test.each([
    ["https://github.com", "https://github.com"],
    ["https://github.example/api/v3/", "https://github.example/api/v3"],
    ["http://127.0.0.1:4711", "http://127.0.0.1:4711"],
    ["http://localhost:4711/", "http://localhost:4711"],
    ["http://[::1]:4711", "http://[::1]:4711"],
    ["http://github.com", undefined],
    ["http://127.0.0.1.evil.example", undefined],
    ["http://localhost.evil.example", undefined],
    ["https://user:password@github.com", undefined],
    ["https://github.com/?x=1", undefined],
    ["ftp://127.0.0.1/", undefined],
    ["github.com", undefined],
  ])("%s is read as %s", (text, place) => {
    expect(GITHUB_OPTIONS.githubUrl.parse(text)).toBe(place);
    expect(GITHUB_OPTIONS.githubApiUrl.parse(text)).toBe(place);
  });

  test("are GitHub's own by default", () => {
    expect(GITHUB_OPTIONS.githubUrl.fallback).toBe("https://github.com");
    expect(GITHUB_OPTIONS.githubApiUrl.fallback).toBe("https://api.github.com");
  });
});

describe("the process's own application", () => {
  const place = { githubUrl: "https://github.com", githubApiUrl: "https://api.github.com" };

  test("is there with id and secret, and not with half of them", () => {
    expect(githubSettings({ ...place, githubClientId: "id", githubClientSecret: "s" }).app).toEqual({
      clientId: "id",
      clientSecret: "s",
    });
    expect(
      githubSettings({ ...place, githubClientId: "id", githubClientSecret: undefined }).app,
    ).toBeUndefined();
    expect(
      githubSettings({ ...place, githubClientId: undefined, githubClientSecret: undefined }).app,
    ).toBeUndefined();
  });

  test("has a secret that is read as one: from a file or a credential, never shown", () => {
    expect(GITHUB_OPTIONS.githubClientSecret.secret).toBe(true);
  });
});
