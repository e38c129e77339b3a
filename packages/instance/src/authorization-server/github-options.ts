import { GITHUB_PLACE_FORM, githubApiUrlOption, parseGithubPlace } from "@gatehouse/shared/github-place";
import { optional, textOption } from "@gatehouse/shared/read-config";
import type { GitHubApp, GitHubPlace } from "./github.ts";

/** Options about GitHub, for the instance's environment. */
export const GITHUB_OPTIONS = {
  githubClientId: optional(
    textOption({
      env: "GITHUB_CLIENT_ID",
      describe: "GitHub OAuth app for hosts whose config names none of its own.",
      expected: "the client id of a GitHub OAuth app",
      parse: (text) => (/^[\w.-]{1,100}$/.test(text) ? text : undefined),
    }),
  ),
  githubClientSecret: optional(
    textOption({
      env: "GITHUB_CLIENT_SECRET",
      describe: "Secret of the app in GITHUB_CLIENT_ID.",
      expected: "the client secret of a GitHub OAuth app",
      secret: true,
      parse: (text) => (/^[\u0021-\u007e]{1,200}$/.test(text) ? text : undefined),
    }),
  ),
  githubUrl: textOption({
    env: "GITHUB_URL",
    describe: "Where people log in and codes are exchanged: GitHub itself or a GitHub Enterprise Server.",
    expected: GITHUB_PLACE_FORM,
    fallback: "https://github.com",
    parse: parseGithubPlace,
  }),
  githubApiUrl: githubApiUrlOption,
} as const;

/** What {@link GITHUB_OPTIONS} come to. */
export interface GitHubSettings extends GitHubPlace {
  /** For hosts without an app of their own; undefined when the process has none. */
  readonly app: GitHubApp | undefined;
}

/** Returns the settings; half an app is none, and then hosts without their own refuse to log anyone in. */
export function githubSettings(options: {
  readonly githubClientId: string | undefined;
  readonly githubClientSecret: string | undefined;
  readonly githubUrl: string;
  readonly githubApiUrl: string;
}): GitHubSettings {
  const { githubClientId: clientId, githubClientSecret: clientSecret, githubUrl, githubApiUrl } = options;
  return {
    url: githubUrl,
    apiUrl: githubApiUrl,
    app: clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret },
  };
}

/** Secrets and tokens go there, so it is https; a loopback address is this machine itself. */
