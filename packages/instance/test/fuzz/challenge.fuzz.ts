import { validateHeaderValue } from "node:http";
import { expectSame, expectThat, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { bearerChallenge } from "../../src/protected-resource/challenge.ts";

const ERRORS = ["invalid_request", "invalid_token", "insufficient_scope", undefined] as const;

/** Lines: description, metadata URL, then a scope each; the length says which error. */
function check(input: Buffer): void {
  const [description = "", metadataUrl = "", ...scopes] = input.toString("utf8").split("\n");
  const error = ERRORS[input.length % ERRORS.length];
  const value = bearerChallenge({
    metadataUrl,
    scopes,
    ...(error !== undefined && { error }),
    ...(description !== "" && { description }),
  });
  validateHeaderValue("WWW-Authenticate", value);
  expectThat("printable ASCII on one line", /^[ -~]+$/.test(value));
  const expected = [
    ...(error === undefined ? [] : [["error", error]]),
    ...(description === "" ? [] : [["error_description", allowed(description)]]),
    ...(scopes.length === 0 ? [] : [["scope", allowed(scopes.join(" "))]]),
    ["resource_metadata", allowed(metadataUrl)],
  ];
  expectSame("one challenge with these parameters", readChallenges(value), [
    { scheme: "Bearer", parameters: expected },
  ]);
}

/** RFC 6750 section 3: what error_description may hold; the rest is shown as question marks. */
function allowed(text: string): string {
  return Array.from({ length: text.length }, (_, at) => {
    const code = text.charCodeAt(at);
    return code >= 0x20 && code <= 0x7e && code !== 0x22 && code !== 0x5c ? text[at] : "?";
  }).join("");
}

interface ReadChallenge {
  readonly scheme: string;
  readonly parameters: string[][];
}

const SCHEME = /([!#$%&'*+.^_`|~0-9A-Za-z-]+) +/y;
const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)="((?:[^"\\]|\\.)*)"(?:, *|$)/y;

/** A list of challenges as RFC 9110 sections 5.6.1, 11.2 and 11.6.1 have it, quoted pairs included: it would see a second one. */
function readChallenges(value: string): ReadChallenge[] {
  const challenges: ReadChallenge[] = [];
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(value);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (at < value.length) {
    const scheme = next(SCHEME);
    if (scheme !== null) challenges.push({ scheme: scheme[1] ?? "", parameters: [] });
    const parameter = next(PARAMETER);
    if (parameter === null) throw new Error(`no parameter where one is due: ${value.slice(at)}`);
    challenges.at(-1)?.parameters.push([parameter[1] ?? "", parameter[2] ?? ""]);
  }
  return challenges;
}

const METADATA = "https://app.example/.well-known/oauth-protected-resource/mcp";

export const target: FuzzTarget = {
  name: "challenge",
  guides: ["instance/src/protected-resource/challenge.ts"],
  seeds: [
    `This needs the scope admin\n${METADATA}\nadmin\nmcp`,
    `\n${METADATA}`,
    `a "quoted", Basic realm="x"\r\nSet-Cookie: a=b\n${METADATA}\na b`,
    `caf\u00e9 \u2713\\\n\n`,
  ].map((text) => Buffer.from(text)),
  dictionary: ['"', "\\", '\\"', ",", "=", "\r\n", "\0", " ", 'Basic realm="', "\u00e2\u009c\u0093", "\x7f"],
  maxBytes: 4000,
  check,
};
