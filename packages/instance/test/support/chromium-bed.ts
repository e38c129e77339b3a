import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser } from "playwright-core";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { LoginHarness, NAME } from "./login-harness.ts";

/** A login, and other sites beside it, for a real browser that finds all of them by name. */
export class ChromiumBed {
  readonly harness: LoginHarness;
  readonly browser: Browser;
  readonly #server: Server;

  private constructor(harness: LoginHarness, browser: Browser, server: Server) {
    this.harness = harness;
    this.browser = browser;
    this.#server = server;
  }

  /** @param others the other sites by name */
  static async open(
    program: string,
    others: Readonly<Record<string, RequestListener>>,
  ): Promise<ChromiumBed> {
    const harness = await LoginHarness.start();
    const directory = await mkdtemp(join(tmpdir(), "pages-"));
    const authority = await createCertificateAuthority(directory);
    const names: [string, ...string[]] = [NAME, ...Object.keys(others)];
    const { certPem, keyPem } = await authority.issue(names);
    await rm(directory, { recursive: true });
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const other = others[request.headers.host ?? ""];
      if (other === undefined) harness.host.listener(request, response);
      else other(request, response);
    };
    const server = createServer({ cert: certPem, key: keyPem }, answer);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const key = new X509Certificate(certPem).publicKey.export({ type: "spki", format: "der" });
    const browser = await chromium.launch({
      executablePath: program,
      timeout: 60_000,
      chromiumSandbox: process.getuid?.() !== 0,
      args: [
        `--host-resolver-rules=${names.map((name) => `MAP ${name}:443 127.0.0.1:${port}`).join(", ")}`,
        `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`,
        "--disable-background-networking",
        "--no-proxy-server",
      ],
    });
    return new ChromiumBed(harness, browser, server);
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.#server.closeAllConnections();
    this.#server.close();
    await this.harness.stop();
  }
}
