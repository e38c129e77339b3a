import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Hostname } from "@gatehouse/shared/hostname";
import { usableSocketPath } from "@gatehouse/shared/listen-address";
import { formatTarget, parseRoute } from "@gatehouse/shared/route";

/** An instance on the same network shakes hands in some milliseconds. */
const HANDSHAKE_TIMEOUT_MS = 1000;

/** Version 2, LOCAL, no addresses: the sender speaks for itself, as health checks do (proxy-protocol.txt section 2.2). */
const LOCAL_HEADER = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");

/**
 * Returns the certificate that the first target of a route serves for a hostname, whoever issued it; undefined when none does. That is the
 * one in force: an instance may have it from files that only its environment names.
 */
export async function servedCertificate(
  route: string,
  hostname: Hostname,
): Promise<{ target: string; pem: string } | undefined> {
  const parsed = parseRoute(route);
  const [target] = parsed.ok ? parsed.route.targets : [];
  if (!parsed.ok || target === undefined || parsed.route.proxy === "off") return undefined;
  const plain =
    target.kind === "unix"
      ? connectPlain(usableSocketPath(target.path))
      : connectPlain({ host: target.host, port: target.port });
  const signal = AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS);
  try {
    await once(plain, "connect", { signal });
    plain.write(LOCAL_HEADER);
    // Only looked at, and nothing is sent to it: whether it may be trusted is what the caller says of it.
    const secure = connectTls({ socket: plain, servername: hostname, rejectUnauthorized: false });
    await once(secure, "secureConnect", { signal });
    const pem = secure.getPeerX509Certificate()?.toString();
    return pem === undefined ? undefined : { target: formatTarget(target), pem };
  } catch {
    return undefined; // nothing answers, or not in time, or not as an instance: `status` says which targets are silent
  } finally {
    plain.on("error", () => undefined).destroy();
  }
}
