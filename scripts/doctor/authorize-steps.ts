import { openPage } from "./authorize-page.ts";
import type { Chart, Registered } from "./chart.ts";
import { authorization } from "./client-steps.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";

const NOT_OURS = {
  cause: "what answers /authorize is no instance of Gatehouse",
  fix: "let nothing in front of the instance answer /authorize",
};

/** What the authorization page must refuse, whoever asks. */
export const authorizeSteps: readonly Step[] = [
  {
    id: "authorize.redirect",
    title: "a redirect URI that was not registered is refused, on a page",
    clause: "RFC 6749 4.1.2.1, RFC 9700 4.1.3",
    needs: ["http.protection"],
    run: ofRegistered(async (chart, client) => {
      const { url } = authorization(chart, client);
      url.searchParams.set("redirect_uri", "https://doctor.invalid/callback");
      const { status, location } = await openPage(chart, url);
      return status === 400 && location === undefined
        ? pass("400, and no redirect")
        : fail(`${status}${location ? `, on to ${location.origin}` : ""}`, NOT_OURS);
    }),
  },
  {
    id: "authorize.pkce",
    title: "an authorization without PKCE is refused",
    clause: "RFC 7636 4.4.1, MCP 2025-11-25 Authorization Code Protection",
    needs: ["http.protection"],
    run: ofRegistered(async (chart, client) => {
      const { url } = authorization(chart, client);
      url.searchParams.delete("code_challenge");
      url.searchParams.delete("code_challenge_method");
      const { status, location } = await openPage(chart, url);
      const error = location?.searchParams.get("error");
      return error === "invalid_request" || status === 400
        ? pass(`refused: ${error ?? status}`)
        : fail(`${status}, and no error`, NOT_OURS);
    }),
  },
];

function ofRegistered(run: (chart: Chart, client: Registered) => Promise<Finding>): Step["run"] {
  return async (chart) => {
    const [client] = chart.registered.values();
    return client === undefined ? skip("no client is registered") : await run(chart, client);
  };
}
