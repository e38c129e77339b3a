import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import { promisify } from "node:util";
import { createCertificateAuthority, type CertificateAuthority } from "../certificate-authority.ts";
import * as der from "../der.ts";
import { findOnPath } from "../program-search.ts";

const run = promisify(execFile);

describe("throw-away certificate authority", () => {
  let directory: string;
  let authority: CertificateAuthority;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "authority-"));
    authority = await createCertificateAuthority(directory);
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  test("a server certificate names its hosts and addresses and is signed by the authority", async () => {
    const names = ["simple.localhost", "*.tenant.localhost", "127.0.0.1", "::1", "2001:db8::7"];
    const issued = await authority.issue(names);
    const certificate = new X509Certificate(issued.certPem);
    const ca = new X509Certificate(authority.caPem);
    expect(certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.checkIssued(ca)).toBe(true);
    expect(certificate.subjectAltName).toBe(
      "DNS:simple.localhost, DNS:*.tenant.localhost, IP Address:127.0.0.1, " +
        "IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:0:7",
    );
    expect([ca.ca, certificate.ca]).toEqual([true, false]);
    expect((await stat(issued.keyPath)).mode & 0o777).toBe(0o600);
  });

  test("a TLS client that trusts the authority accepts it, for its own names only", async () => {
    const issued = await authority.issue(["simple.localhost"]);
    const server = createServer({ cert: issued.certPem, key: issued.keyPem }, (socket) =>
      socket.end("hello"),
    );
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const dial = async (servername: string): Promise<string> => {
      const socket = connect({ host: "127.0.0.1", port, servername, ca: authority.caPem });
      try {
        const [data] = (await once(socket, "data")) as [Buffer];
        return data.toString();
      } finally {
        socket.destroy();
      }
    };
    try {
      expect(await dial("simple.localhost")).toBe("hello");
      await expect(dial("other.localhost")).rejects.toThrow("does not match");
    } finally {
      server.close();
    }
  });

  test("the end of the validity can be set, also in the past", async () => {
    const { certPem } = await authority.issue(["late.localhost"], {
      notAfter: new Date(Date.now() - 60_000),
    });
    expect(new X509Certificate(certPem).validToDate.getTime()).toBeLessThan(Date.now());
  });

  const withOpenssl = findOnPath("openssl") === undefined ? test.skip : test;
  withOpenssl("OpenSSL's strict RFC 5280 checks find nothing to object to", async () => {
    const { certPath } = await authority.issue(["strict.localhost"]);
    const args = ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "strict.localhost"];
    const { stdout } = await run("openssl", [...args, "-CAfile", authority.caPath, certPath]);
    expect(stdout).toContain(": OK");
  });
});

test("DER: long lengths, large arcs, positive integers and the year 2050", () => {
  expect(der.octetString(Buffer.alloc(200)).subarray(0, 3).toString("hex")).toBe("0481c8");
  expect(der.octetString(Buffer.alloc(70_000)).subarray(0, 5).toString("hex")).toBe("0483011170");
  expect(der.objectIdentifier("1.2.840.10045.4.3.2").toString("hex")).toBe("06082a8648ce3d040302");
  expect(der.integer(Buffer.from([0, 0x80])).toString("hex")).toBe("02020080");
  expect(der.time(new Date("2049-12-31T23:59:59.500Z")).toString("latin1").slice(2)).toBe("491231235959Z");
  expect(der.time(new Date("2050-01-01T00:00:00Z")).toString("latin1").slice(2)).toBe("20500101000000Z");
});
