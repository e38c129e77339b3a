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
    [{}, undefined],
    [{ enabled: false }, "disabled"],
    [{ maintenance: true }, "maintenance"],
    [PROTECTED, "authorization_unavailable"],
    [{ ...PROTECTED, auth_excluded_paths: ["/*"] }, "authorization_unavailable"],
    [{ ...PROTECTED, maintenance: true }, "maintenance"],
  ])("%j: %p", (fields, reason) => {
    expect(hostRefusal(config(fields), NO_PROTECTION)?.reason).toBe(reason);
  });

  test("a protected host serves once its protection is in place", () => {
    expect(hostRefusal(config(PROTECTED), { ok: true })).toBeUndefined();
  });

  test("a config that is gone closes too", () => {
    expect(hostRefusal(undefined, NO_PROTECTION)?.status).toBe(404);
  });
});
