import { expectSame, expectThat, latin1, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { HostAdmission } from "../../src/admission.ts";
import { readRequestTarget } from "../../src/canonical-path.ts";

const HOSTNAME = "app.example" as Hostname;
const PUBLIC_PORT = 8443;
const admission = new HostAdmission(HOSTNAME, PUBLIC_PORT);

/** The first line is a request target, the second a Host. */
function check(input: Buffer): void {
  const [target = "", host = ""] = input.toString("latin1").split("\n");
  checkTarget(target);
  checkHost(target, host);
}

function checkTarget(text: string): void {
  const read = readRequestTarget(text);
  if (!read.ok) return expectThat("a problem without foreign text", /^[ -~]{1,80}$/.test(read.problem));
  const { path, query, isCanonical, authority } = read.target;
  if (authority === undefined) expectSame("passed unchanged", path + query, text);
  // An upstream that parses URLs resolves it to the very same place.
  const url = new URL(`http://h${path}${query}`);
  if (/^[!-~]*$/.test(path)) expectSame("as a URL parser reads it", url.pathname, forUrl(path));
  const { authority: _left, ...inOriginForm } = read.target;
  expectSame("idempotent", readRequestTarget(path + query), { ok: true, target: inOriginForm });
  if (isCanonical) expectOneSpelling(path);
}

/** What WHATWG URL escapes on its own in a path; nothing else may be changed by it. */
function forUrl(path: string): string {
  return path.replaceAll(
    /["<>^`{}]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Decoded once or twice, a canonical path names the same segments: none empty, none of dots, none with a slash from nowhere. */
function expectOneSpelling(path: string): void {
  expectSame("normalised by RFC 3986 section 6.2.2 already", normalised(path), path);
  const segments = path.split("/").slice(1);
  let decoded = segments;
  for (let times = 0; times < 2; times++) {
    decoded = decoded.map((segment) => (/%[0-9A-F]{2}/i.test(segment) ? octetsOf(segment) : segment));
    expectThat(
      "no segment changes what the path is",
      decoded.every((segment) => !/^\.{1,2}$|[/\\\u0000-\u001f]/.test(segment)),
    );
  }
  expectThat(
    "no empty segment but the last",
    segments.slice(0, -1).every((segment) => segment !== ""),
  );
}

function octetsOf(segment: string): string {
  return segment.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

/** Unreserved characters decoded, hex digits in upper case: written from the RFC, not from the code. */
function normalised(path: string): string {
  return path.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, hex: string) => {
    const character = String.fromCharCode(parseInt(hex, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
  });
}

function checkHost(target: string, host: string): void {
  const read = admission.admit({
    method: "GET",
    target,
    isHttp2: false,
    version: "1.1",
    scheme: undefined,
    rawHeaders: ["Host", host],
    serverName: HOSTNAME,
  });
  if (!read.ok) return;
  for (const named of [read.host, host]) {
    const url = URL.parse(`https://${named}/`);
    const name = parseHostname(url?.hostname ?? "");
    expectSame("the host is ours", [name.ok && name.hostname, url?.port], [HOSTNAME, String(PUBLIC_PORT)]);
    expectThat("no userinfo", !named.includes("@"));
  }
  expectThat("the target is a path", read.target.startsWith("/"));
}

export const target: FuzzTarget = {
  name: "request-target",
  guides: ["instance/src/canonical-path.ts", "instance/src/admission.ts"],
  seeds: [
    "/mcp\napp.example:8443",
    "/a%20b/%E2%9C%93?c=%2F..%2f\nAPP.example.:8443",
    "/users/@me;v=1/a:b,c(d)*!$&'=+\napp.example",
    "https://app.example:8443/x?y\napp.example:8443",
    "https://app.example:8443\napp.example:08443",
    "/100%25/%7Cb%3Fc%22\n[::1]:8443",
    "/a/%252e%252e/b%252fc\napp.example:8443",
    "/group%2Fproject//a%252e\nuser@app.example:8443",
    "*\n",
  ].map(latin1),
  dictionary: [
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2F",
    "%5c",
    "\\",
    "%25",
    "%252e",
    "%00",
    "%0d%0a",
    "//",
    ";",
    "?",
    "#",
    "@",
    ":8443",
    "https://",
    "http://",
    "app.example",
    "\n",
    "%61",
    "%c3%a9",
  ],
  maxBytes: 4000,
  check,
};
