/** Whether a request is for this hostname, and whether the host is open: decided without a wire. */
import { describe, expect, test } from "@jest/globals";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { HostAdmission, hostRefusal, type RequestHead } from "../src/admission.ts";

const HOSTNAME = "a.example";

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.hostname;
}

const at443 = new HostAdmission(hostname(HOSTNAME), 443);
const at8443 = new HostAdmission(hostname(HOSTNAME), 8443);

function head(given: Partial<RequestHead> & { host?: string | readonly string[] }): RequestHead {
  const { host = HOSTNAME, ...rest } = given;
  return {
    method: "GET",
    target: "/",
    isHttp2: false,
    version: given.isHttp2 === true ? "2.0" : "1.1",
    scheme: undefined,
    serverName: HOSTNAME,
    rawHeaders: [host].flat().flatMap((value) => ["Host", value]),
    ...rest,
  };
}

function verdict(admission: HostAdmission, given: Parameters<typeof head>[0]): string | number {
  const admitted = admission.admit(head(given));
  return admitted.ok ? admitted.target : admitted.refusal.status;
}

/** Why a request is refused: the word of the record, and what operators read. */
function refusalOf(
  given: Parameters<typeof head>[0],
): readonly [reason: string, problem: string] | undefined {
  const admitted = at443.admit(head(given));
  return admitted.ok ? undefined : [admitted.refusal.reason, admitted.refusal.problem];
}

test.each<[Parameters<typeof head>[0], reason: string, problem: string]>([
  [{ serverName: "b.example" }, "misdirected", "the handshake was for another name"],
  [{ rawHeaders: [] }, "bad_host", "no Host"],
  [{ host: [HOSTNAME, HOSTNAME] }, "bad_host", "more than one Host"],
  [{ host: "a b" }, "bad_host", "Host is malformed"],
  [{ host: "b.example" }, "misdirected", "Host names another host or port"],
  [{ method: "TRACE" }, "method_not_allowed", "TRACE is not forwarded"],
  [{ isHttp2: true, scheme: "http" }, "misdirected", "the scheme is not https"],
  [{ target: "x" }, "bad_target", "the target is neither a path nor a URL of this host"],
  [{ target: "/a\\b" }, "bad_target", "a backslash in the path"],
])("%j is refused with a reason", (given, ...why) => {
  expect(refusalOf(given)).toEqual(why);
});

describe("framing (RFC 9112 section 6.1, RFC 9110 section 2.5)", () => {
  const coded = (value: string, name = "Transfer-Encoding"): Pick<RequestHead, "rawHeaders"> => ({
    rawHeaders: ["Host", HOSTNAME, "X-Seventeen-Long0", "x", name, value],
  });
  const UNSUPPORTED = ["unsupported_coding", "a transfer coding that is not chunked"];

  test("chunked is taken, in any letter case, and a field of that length that is another", () => {
    for (const value of ["chunked", "Chunked", "CHUNKED"])
      for (const name of ["Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING"])
        expect(refusalOf(coded(value, name))).toBeUndefined();
    expect(refusalOf(coded("gzip", "Content-Encoding1"))).toBeUndefined();
    expect(refusalOf(coded("gzip", "TE"))).toBeUndefined();
  });

  test.each(["gzip", "gzip, chunked", "chunked, chunked", "xchunked", "", " chunked", "identity"])(
    "the coding %j is not",
    (value) => {
      expect(refusalOf(coded(value))).toEqual(UNSUPPORTED);
      expect(refusalOf(coded(value, "transfer-ENCODING"))).toEqual(UNSUPPORTED);
    },
  );

  test("each of several fields counts", () => {
    const { rawHeaders } = coded("chunked");
    expect(refusalOf({ rawHeaders: [...rawHeaders, "Transfer-Encoding", "gzip"] })).toEqual(UNSUPPORTED);
    expect(refusalOf({ rawHeaders: ["Transfer-Encoding", "gzip", ...rawHeaders] })).toEqual(UNSUPPORTED);
    expect(refusalOf({ rawHeaders: [...rawHeaders, "Transfer-Encoding"] })).toEqual(UNSUPPORTED);
  });

  test("HTTP/1.0 has no transfer coding", () => {
    expect(refusalOf({ version: "1.0" })).toBeUndefined();
    for (const value of ["chunked", "gzip"]) {
      const why = ["malformed_request", "a transfer coding in HTTP/1.0"];
      expect(refusalOf({ version: "1.0", ...coded(value) })).toEqual(why);
    }
  });

  test.each(["0.9", "1.2", "2.0", "1", ""])("version %j is none of HTTP/1's", (version) => {
    expect(refusalOf({ version })).toEqual(["unsupported_version", "the version is not 1.1"]);
  });

  test("HTTP/2 has neither versions nor codings in its fields", () => {
    expect(refusalOf({ isHttp2: true, version: "2.0" })).toBeUndefined();
  });
});

describe("Host (RFC 9110 section 7.2, RFC 9112 section 3.2)", () => {
  test.each([
    ["a.example", "/", 421],
    ["A.Example", "/", 421],
    ["a.example.", "/", 421],
    ["a.example:443", "/", 421],
    ["a.example:", "/", 421],
    ["a.example:8443", 421, "/"],
    ["A.EXAMPLE.:8443", 421, "/"],
    ["b.example", 421, 421],
    ["b.example:8443", 421, 421],
    ["a.example.evil", 421, 421],
    ["xa.example", 421, 421],
    ["127.0.0.1", 421, 421],
    ["[::1]:8443", 421, 421],
    ["", 400, 400],
    ["a.example, b.example", 400, 400],
    ["user@a.example", 400, 400],
    ["a.example/x", 400, 400],
    ["a.example:44x", 400, 400],
    ["a.example:8443:1", 400, 400],
    [" a.example", 400, 400],
    ["a\u212a.example", 400, 400],
  ])("%j: %p on port 443, %p on port 8443", (host, on443, on8443) => {
    expect([verdict(at443, { host }), verdict(at8443, { host })]).toEqual([on443, on8443]);
  });

  test("none, or two of them, is malformed, even when they agree", () => {
    expect(verdict(at443, { rawHeaders: [] })).toBe(400);
    expect(verdict(at443, { host: [HOSTNAME, HOSTNAME] })).toBe(400);
    expect(verdict(at443, { rawHeaders: ["host", HOSTNAME, "HOST", "b.example"] })).toBe(400);
  });

  test("HTTP/2: Host beside :authority must say the same (RFC 9113 section 8.3.1)", () => {
    const isHttp2 = true;
    expect(verdict(at443, { isHttp2, rawHeaders: [":authority", HOSTNAME] })).toBe("/");
    expect(verdict(at443, { isHttp2, rawHeaders: [":authority", HOSTNAME, "host", HOSTNAME] })).toBe("/");
    expect(verdict(at443, { isHttp2, rawHeaders: [":authority", HOSTNAME, "host", "b.example"] })).toBe(400);
    expect(verdict(at443, { isHttp2, rawHeaders: ["host", HOSTNAME] })).toBe("/");
    expect(verdict(at443, { isHttp2, scheme: "http" })).toBe(421);
    expect(verdict(at443, { isHttp2, scheme: "https" })).toBe("/");
  });

  test("no other field is a Host", () => {
    const others = ["Date", "x", "From", "x", "Hosts", "x", "X-Host", "x", ":path", "x", "", "x"];
    expect(verdict(at443, { rawHeaders: others })).toBe(400);
    for (const rawHeaders of [
      [...others, "host", HOSTNAME],
      ["HOST", HOSTNAME, ...others],
    ])
      expect(verdict(at443, { rawHeaders })).toBe("/");
    expect(verdict(at443, { rawHeaders: ["Host"] })).toBe(400);
  });

  test("the server name must be ours where there is one", () => {
    expect(verdict(at443, { serverName: "b.example" })).toBe(421);
    expect(verdict(at443, { serverName: "A.EXAMPLE" })).toBe("/");
    expect(verdict(at443, { serverName: undefined })).toBe("/");
  });
});

describe("request target (RFC 9112 section 3.2)", () => {
  test.each([
    ["/a?b=//c", "/a?b=//c"],
    ["//a", "//a"],
    ["https://a.example/x?y", "/x?y"],
    ["HTTPS://A.example", "/"],
    ["https://a.example?q", "/?q"],
    ["https://a.example:443/", "/"],
    ["https://b.example/", 421],
    ["https://a.example:8443/", 421],
    ["https://user@a.example/", 400],
    ["http://a.example/", 400],
    ["ftp://a.example/", 400],
    ["xhttps://a.example/", 400],
    ["https://a.example/x\ny", 400],
    ["a.example:443", 400],
    ["*", 400],
    ["", 400],
    ["/a\\b", 400],
    ["/a?b\\c", "/a?b\\c"],
  ])("%j: %p", (target, expected) => {
    expect(verdict(at443, { target })).toBe(expected);
  });

  test("the whole server is asked by OPTIONS * or an empty path", () => {
    expect(verdict(at443, { method: "OPTIONS", target: "*" })).toBe("*");
    expect(verdict(at443, { method: "OPTIONS", target: "https://a.example" })).toBe("*");
    expect(verdict(at443, { method: "OPTIONS", target: "https://a.example/x" })).toBe("/x");
    expect(verdict(at443, { method: "OPTIONS", target: "https://a.example?x" })).toBe("/?x");
  });

  test("the target wins over Host, and neither may name another host", () => {
    expect(verdict(at443, { target: "https://a.example/", host: "b.example" })).toBe(421);
  });

  test.each(["CONNECT", "TRACE", "TRACK", "delete", "Get"])("%s is not forwarded", (method) => {
    expect(verdict(at443, { method })).toBe(405);
  });
});

describe("what a host config closes", () => {
  const PROTECTED = { auth_enabled: true, auth_required_users: ["*"] };
  const NO_PROTECTION = { ok: false, problem: "not open" } as const;
  const config = (fields: object) => {
    const parsed = parseHostConfig(JSON.stringify({ target_url: "http://127.0.0.1:1", ...fields }));
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    return parsed.config;
  };

  test.each([
    [{}, undefined, undefined],
    [{ enabled: false }, "disabled", "enabled is false"],
    [{ maintenance: true }, "maintenance", "maintenance is true"],
    [PROTECTED, "authorization_unavailable", "not open"],
    [{ ...PROTECTED, auth_excluded_paths: ["/*"] }, "authorization_unavailable", "not open"],
    [{ ...PROTECTED, maintenance: true }, "maintenance", "maintenance is true"],
  ])("%j: %p, %p", (fields, ...why) => {
    const refused = hostRefusal(config(fields), NO_PROTECTION);
    expect([refused?.reason, refused?.problem]).toEqual(why);
  });

  test("a protected host serves once its protection is in place", () => {
    expect(hostRefusal(config(PROTECTED), { ok: true })).toBeUndefined();
  });

  test("a config that is gone closes too", () => {
    expect(hostRefusal(undefined, NO_PROTECTION)).toEqual({
      reason: "disabled",
      status: 404,
      problem: "the host config was deleted",
    });
  });
});
