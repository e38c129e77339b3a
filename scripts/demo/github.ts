import { startGitHub } from "@gatehouse/testbed/github";
import type { DemoFile } from "./demo-file.ts";

/** Where the demo's people sign in. */
export interface DemoGitHub {
  /** What the instances need to know of it, as environment variables. */
  readonly settings: Readonly<Record<string, string>>;
  readonly file: DemoFile["github"];
  close(): Promise<void>;
}

/** Takes an app at GitHub itself. */
export function realGitHub(app: Readonly<Record<string, string>>): DemoGitHub {
  return {
    settings: app,
    file: { url: app["GITHUB_URL"] ?? "https://github.com", users: [] },
    close: async () => undefined,
  };
}

/** Starts the stand-in, with one app for these hosts: that any of them may be made a protected one while the demo runs. */
export async function standInGitHub(origins: readonly [string, ...string[]]): Promise<DemoGitHub> {
  const [first, ...others] = origins;
  const callbackUrls = [first, ...others].map((origin) => `${origin}/callback`);
  const github = await startGitHub({
    apps: [{ clientId: "Iv1.demo", clientSecret: "of-the-stand-in", callbackUrls }],
  });
  return {
    settings: {
      GITHUB_CLIENT_ID: github.app.clientId,
      GITHUB_CLIENT_SECRET: github.app.clientSecret,
      GITHUB_URL: github.url,
      GITHUB_API_URL: github.url,
    },
    file: { url: github.url, users: ["octocat", "hubot"], sign_in: github.signInUrl("") },
    close: () => github.close(),
  };
}
