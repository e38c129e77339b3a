import type { Canaries } from "./canaries.ts";

/** Members and parameters whose values are secrets, wherever in an OAuth exchange they occur. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  "access_token",
  "client_secret",
  "code",
  "code_challenge",
  "code_verifier",
  "csrf_token",
  "id_token",
  "refresh_token",
  "registration_access_token",
  "state",
  "token",
]);

/** Returns a fetch that remembers every secret that passes through it, either way. */
export function learningFetch(fetch: typeof globalThis.fetch, canaries: Canaries): typeof globalThis.fetch {
  const learn = (name: string, value: unknown): void => {
    if (!SECRET_NAMES.has(name) || typeof value !== "string") return;
    // What all JWTs of a host have in common is no secret; the signature is what makes one.
    canaries.learn(name, value.split(".").at(-1) ?? value);
  };
  const learnQuery = (url: URL): void => {
    for (const [name, value] of url.searchParams) learn(name, value);
    const [, id] = /\/(?:interaction|authorize)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (id !== undefined) canaries.learn("the id of a started authorization", id);
  };
  const learnAnswer = async (response: Response, asked: URL): Promise<void> => {
    const location = response.headers.get("location");
    if (location !== null) learnQuery(new URL(location, asked));
    for (const line of response.headers.getSetCookie())
      canaries.learn(`cookie ${line.split("=", 1)[0]}`, /=([^;]*)/.exec(line)?.[1] ?? "");
    if (response.headers.get("content-type")?.startsWith("application/json") !== true) return;
    const json: unknown = await response.clone().json();
    for (const [name, value] of Object.entries(json ?? {})) learn(name, value);
  };
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    learnQuery(url);
    if (init?.body instanceof URLSearchParams) for (const [name, value] of init.body) learn(name, value);
    const response = await fetch(url, init);
    await learnAnswer(response, url);
    return response;
  };
}
