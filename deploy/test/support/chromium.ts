import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect } from "node:tls";
import { findChromium } from "@gatehouse/testbed/chromium-program";
import { chromium, type Browser } from "playwright-core";
import type { FoundPeer, PeerAnswer, PeerProtocol, PeerTarget } from "./peer.ts";

const LAUNCH_TIMEOUT_MS = 60_000;

/** Returns Chromium as a peer, or why this machine has none. */
export async function chromiumPeer(): Promise<FoundPeer> {
  const name = "Chromium";
  const found = await findChromium();
  if ("missing" in found) return { name, missing: found.missing };
  return {
    name,
    protocols: ["http/1.1", "h2"],
    fetch: (target, protocol) => fetchOnce(found.program, target, protocol),
  };
}

async function fetchOnce(program: string, target: PeerTarget, protocol: PeerProtocol): Promise<PeerAnswer> {
  const browser = await launch(program, target, protocol);
  try {
    const page = await browser.newPage();
    const response = await page.goto(`https://${target.hostname}:${target.port}${target.path}`);
    if (!response) throw new Error("Chromium navigated without a response");
    // An expression, not a function: this file is checked without the types of a page.
    const negotiated = await page.evaluate<string>(
      "performance.getEntriesByType('navigation')[0].nextHopProtocol",
    );
    return { protocol: negotiated, status: response.status(), body: await response.text() };
  } finally {
    await browser.close();
  }
}

async function launch(program: string, target: PeerTarget, protocol: PeerProtocol): Promise<Browser> {
  const address = target.address.includes(":") ? `[${target.address}]` : target.address;
  return chromium.launch({
    executablePath: program,
    timeout: LAUNCH_TIMEOUT_MS,
    // The sandbox refuses to run as root, which is what a container runs tests as; the page is our own.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      `--host-resolver-rules=MAP ${target.hostname} ${address}`,
      // A throw-away authority has no place in the system's store: exactly this certificate is accepted, and no other.
      `--ignore-certificate-errors-spki-list=${await publicKeyHash(target)}`,
      ...(protocol === "h2" ? [] : ["--disable-http2"]),
      "--disable-quic",
      "--disable-background-networking",
      "--no-proxy-server",
    ],
  });
}

/** Returns the hash of the certificate's public key, as base64, once the chain and the name have been verified. */
async function publicKeyHash({ hostname, address, port, caPath }: PeerTarget): Promise<string> {
  const ca = await readFile(caPath);
  const socket = connect({ host: address, port, servername: hostname, ca });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
  });
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  if (!certificate) throw new Error("the handshake gave no certificate");
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}
