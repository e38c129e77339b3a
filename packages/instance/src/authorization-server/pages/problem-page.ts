import { noted } from "../answer-record.ts";
import { oauthReason } from "../oauth-reason.ts";
import { markup } from "./markup.ts";
import { pageResponse } from "./page.ts";

/** Something that a person has to be told here, because their browser can't be sent back to the application. */
export interface Problem {
  readonly status: number;
  /** For the record, with the clause if there is one. */
  readonly reason: string;
  readonly title: string;
  /** What happened and what to do now, in whole sentences. */
  readonly text: string;
  /** For whoever is asked for help: words of the protocol. */
  readonly detail?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Returns the page; nothing on it leads anywhere, since nothing in the request can be trusted to. */
export function problemPage({ status, reason, title, text, detail, headers = {} }: Problem): Response {
  const page = pageResponse({
    status,
    title,
    headers,
    body: markup`<h1>${title}</h1>
<p>${text}</p>
${detail === undefined ? undefined : markup`<p class="soft">For support: <code>${detail}</code></p>`}
<p class="soft">You may close this window.</p>`,
  });
  return noted(page, { reason });
}

/** Seconds after which a login may be tried again when something it needs is away. */
const RETRY_AFTER = "5";

/** The four cases are told apart in the record only: a page that told them apart would help whoever is guessing. */
export const LOGIN_GONE: Problem = {
  status: 400,
  reason: "login_gone",
  title: "This login is over",
  text: "It was finished already, it took longer than ten minutes, or it was started in another browser. Go back to the application and connect again.",
};

export const FORGED_FORM: Problem = {
  status: 403,
  reason: "forged_form (RFC 6749 10.12)",
  title: "This answer did not come from our page",
  text: "Your choice was not taken, to be on the safe side. Allow cookies for this site, go back to the application and connect again.",
};

export const TOO_MANY_ANSWERS: Problem = {
  status: 429,
  reason: "too_many_consents",
  title: "This form was sent too often",
  text: "Your choice was not taken this time. Wait a minute and send it again, or go back to the application and connect again.",
};

export const LOGIN_UNAVAILABLE: Problem = {
  status: 503,
  reason: "login_unavailable",
  title: "Logging in is not possible right now",
  text: "Something that this service needs is away for a moment. Try again shortly.",
  headers: { "retry-after": RETRY_AFTER },
};

export const LOGIN_NOT_SET_UP: Problem = {
  status: 503,
  reason: "login_not_set_up",
  title: "Logging in is not set up here",
  text: "This service has no application at its identity provider. Its operator has to add one; trying again does not help.",
};

export const LOGIN_FAILED: Problem = {
  status: 500,
  reason: "login_failed",
  title: "Something failed on this server",
  text: "It was not your fault, and nothing was granted. Go back to the application and connect again.",
};

/** Titles of what the authorization endpoint can't tell the application (RFC 6749 section 4.1.2.1). */
const TITLES: ReadonlyMap<string, string> = new Map([
  ["invalid_client", "This application is not known here"],
  ["invalid_redirect_uri", "This application gave a wrong return address"],
  ["invalid_client_metadata", "This application’s description can’t be used"],
  ["access_denied", "Access was refused"],
  ["temporarily_unavailable", "Logging in is not possible right now"],
  ["server_error", "Something failed on this server"],
]);

/** Returns the page for an error of the authorization endpoint. `description` is shown escaped, whoever wrote it. */
export function protocolProblemPage(problem: {
  status: number;
  error: string;
  description: string;
}): Response {
  const { status, error, description } = problem;
  return problemPage({
    status,
    reason: oauthReason(error),
    title: TITLES.get(error) ?? "This request can’t be answered",
    text: "Go back to the application and connect again. If that does not help, tell whoever makes the application.",
    detail: description === "" ? error : `${error}: ${description}`,
  });
}
