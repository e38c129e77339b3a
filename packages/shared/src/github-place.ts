import { textOption, type Option } from "./read-config.ts";

/** What an option that names a place of GitHub's must be. */
export const GITHUB_PLACE_FORM = "an https URL without query (http on loopback only)";

/** Returns the URL without a slash at its end; undefined when it is none that can be trusted. */
export function parseGithubPlace(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    return undefined;
  const isLoopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback)) return undefined;
  return url.href.replace(/\/+$/, "");
}

/** For the instance, which asks who came back from a login, and for the command line, which asks whose a login is. */
export const githubApiUrlOption: Option<string> = textOption({
  env: "GITHUB_API_URL",
  describe: "GitHub's API; on a GitHub Enterprise Server its URL with /api/v3.",
  expected: GITHUB_PLACE_FORM,
  fallback: "https://api.github.com",
  parse: parseGithubPlace,
});
