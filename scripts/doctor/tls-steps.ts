import { once } from "node:events";
import { checkServerIdentity, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Chart } from "./chart.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import { handshake, type Handshake } from "./wire.ts";

const DAY_MS = 86_400_000;
/** Tickets of TLS 1.3 come after the handshake; a host that has none to give must not keep us. */
const TICKET_TIMEOUT_MS = 2000;

/** The handshake, and what it proves. */
export const tlsSteps: readonly Step[] = [
  {
    id: "tls.handshake",
    title: "a handshake with the host as server name completes",
    clause: "RFC 8446 4, RFC 6066 3",
    needs: ["tcp.connect"],
    run: shakeHands,
  },
  {
    id: "tls.chain",
    title: "the certificate comes from an authority that is trusted",
    clause: "RFC 5280 6.1, RFC 8446 4.4.2",
    needs: ["tls.handshake"],
    run: async (chart) => await withSocket(chart, judgeChain),
  },
  {
    id: "tls.name",
    title: "the certificate names the host",
    clause: "RFC 9525 6.3",
    needs: ["tls.handshake"],
    run: async (chart) => await withSocket(chart, (socket) => judgeName(socket, chart.request.hostname)),
  },
  {
    id: "tls.dates",
    title: "the certificate is valid now",
    clause: "RFC 5280 4.1.2.5",
    needs: ["tls.handshake"],
    run: async (chart) => await withSocket(chart, judgeDates),
  },
  {
    id: "tls.versions",
    title: "TLS 1.2 and TLS 1.3 both work",
    clause: "RFC 9325 3.1.1",
    needs: ["tls.handshake"],
    run: tryVersions,
  },
  {
    id: "tls.alpn",
    title: "HTTP/2 and HTTP/1.1 are offered",
    clause: "RFC 7301 3.2, RFC 9113 3.2",
    needs: ["tls.handshake"],
    run: tryProtocols,
  },
  {
    id: "tls.resumption",
    title: "a session is resumed",
    clause: "RFC 8446 2.2",
    needs: ["tls.handshake"],
    run: resume,
  },
];

async function shakeHands(chart: Chart): Promise<Finding> {
  const shaken = await handshake(chart.place, { ALPNProtocols: ["h2", "http/1.1"] });
  if (!shaken.ok) return fail(`the handshake failed: ${shaken.code}`, whyRefused(shaken.code, chart));
  const { socket } = shaken;
  const protocol = socket.getProtocol() ?? "TLS";
  socket.destroy();
  return pass(`${protocol} with server name ${chart.request.hostname}`);
}

/** What the dispatcher and an instance mean by it (docs/errors.md). */
function whyRefused(code: string, { request }: Chart): { cause: string; fix: string } {
  const { hostname } = request;
  const log = `scripts/gatehouse log hostname ${hostname} --since 5m says which`;
  if (code.includes("UNRECOGNIZED_NAME"))
    return {
      cause: "alert 112: the dispatcher has no route for this name (no_route)",
      fix: `redis-cli SET route:${hostname} 13001 (the port or unix: path of its instance)`,
    };
  if (code.includes("INTERNAL_ERROR"))
    return {
      cause:
        "alert 80: the route can't be read (bad_route), none of its targets answers (target_down), it leads back to the dispatcher (loop), too many connections, or Redis is away (store_unavailable)",
      fix: `start the instance and correct route:${hostname}; ${log}`,
    };
  if (code.includes("DECODE_ERROR"))
    return {
      cause:
        "alert 50: what arrived is not the hello that was sent; something in between changes or splits it",
      fix: `take the middlebox out of the way; ${log}`,
    };
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNSUPPORTED_PROTOCOL/.test(code))
    return {
      cause:
        "what listens there does not speak TLS: another service, or a route to an upstream in place of its instance",
      fix: `route:${hostname} must name the instance (TLS), not the MCP server behind it`,
    };
  if (code === "ETIMEDOUT")
    return {
      cause:
        "connected, and no answer to the hello: a middlebox, or a route to something that waits for other bytes",
      fix: `route:${hostname} must name the instance; ${log}`,
    };
  return {
    cause:
      "closed without an alert: the host's allowed_addresses leave this address out, the route has proxy=off or v1 where an instance wants its header, or GATEHOUSE_PROXY_FROM does not list the dispatcher",
    fix: `allowed_addresses of proxy:${hostname}; route:${hostname} without ;proxy=off; ${log}`,
  };
}

/** Gives a fresh connection to `judge` and closes it. */
async function withSocket(chart: Chart, judge: (socket: TLSSocket) => Finding): Promise<Finding> {
  const shaken = await handshake(chart.place);
  if (!shaken.ok) return fail(`a further handshake failed: ${shaken.code}`, whyRefused(shaken.code, chart));
  try {
    return judge(shaken.socket);
  } finally {
    shaken.socket.destroy();
  }
}

function judgeChain(socket: TLSSocket): Finding {
  const { subject, issuer } = socket.getPeerCertificate();
  const code = String(socket.authorizationError);
  if (subject?.CN === "Gatehouse stand-in")
    return fail("the certificate is the stand-in of Gatehouse, signed by itself", {
      cause:
        "the instance has found no certificate yet: no file, none in Redis, or one it could not use (certificate_bad)",
      fix: 'set GATEHOUSE_CERTIFICATE_FILE and …_KEY_FILE, or store one under cert:HOST with "certificate": "stored"',
    });
  // Dates and names have steps of their own.
  if (socket.authorized || /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|ALTNAME_INVALID/.test(code))
    return pass(`issued by ${String(issuer?.CN ?? issuer?.O)}`);
  if (code.includes("SELF_SIGNED") || code.includes("DEPTH_ZERO"))
    return fail(`signed by itself, or by an authority nobody knows: ${code}`, {
      cause: "a certificate made by hand, or of a private authority",
      fix: "install one of a public authority; where the private one is meant: --ca FILE, and the same in each client",
    });
  return fail(`the chain does not lead to an authority that is trusted here: ${code}`, {
    cause:
      "the intermediate certificates are missing from the file (browsers fetch them, clients don't), or the authority is private",
    fix: "put the full chain, leaf first, into the certificate file (fullchain.pem); for a private authority: --ca FILE",
  });
}

function judgeName(socket: TLSSocket, hostname: string): Finding {
  const certificate = socket.getPeerCertificate();
  const names = certificate.subjectaltname ?? "no name at all";
  if (checkServerIdentity(hostname, certificate) === undefined) return pass(names);
  return fail(`the certificate is for ${names}, not for ${hostname}`, {
    cause: "the certificate of another host is installed, or the route leads to the instance of another host",
    fix: `install a certificate with DNS:${hostname}, or correct route:${hostname}`,
  });
}

function judgeDates(socket: TLSSocket): Finding {
  const { valid_from: from, valid_to: to } = socket.getPeerCertificate();
  const days = Math.floor((Date.parse(to) - Date.now()) / DAY_MS);
  const clock = "or the clock of this machine is wrong";
  if (Date.now() > Date.parse(to))
    return fail(`expired on ${to}`, {
      cause: `it was not renewed, or the renewed file was not read; ${clock}`,
      fix: "renew the certificate; the instance reads the file again by itself, at once on SIGHUP",
    });
  if (Date.now() < Date.parse(from))
    return fail(`valid only from ${from}`, {
      cause: `it was issued by a clock ahead of this one, ${clock}`,
      fix: "run NTP on both machines",
    });
  return pass(`valid until ${to}, ${days} more days`);
}

async function tryVersions(chart: Chart): Promise<Finding> {
  const spoken: string[] = [];
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const shaken = await handshake(chart.place, { minVersion: version, maxVersion: version });
    if (shaken.ok) {
      spoken.push(version);
      shaken.socket.destroy();
    }
  }
  if (spoken.length === 2) return pass(spoken.join(", "));
  return fail(`only ${spoken.join("") || "neither"} of TLS 1.2 and 1.3`, {
    cause: "what answers is no instance of Gatehouse, or a middlebox refuses one of them",
    fix: `route:${chart.request.hostname} must name the instance; allow both versions where TLS ends`,
  });
}

async function tryProtocols(chart: Chart): Promise<Finding> {
  const offered: string[] = [];
  for (const protocol of ["h2", "http/1.1"]) {
    const shaken = await handshake(chart.place, { ALPNProtocols: [protocol] });
    if (!shaken.ok) continue;
    if (shaken.socket.alpnProtocol === protocol) offered.push(protocol);
    shaken.socket.destroy();
  }
  if (offered.length === 2) return pass(offered.join(", "));
  return fail(`only ${offered.join("") || "neither"} of h2 and http/1.1 is chosen`, {
    cause: "what answers is no instance of Gatehouse",
    fix: `route:${chart.request.hostname} must name the instance`,
  });
}

async function resume(chart: Chart): Promise<Finding> {
  const session = await ticket(await handshake(chart.place));
  if (session === undefined) return skip("no ticket was offered: each connection costs a full handshake");
  const again = await handshake(chart.place, { session } satisfies ConnectionOptions);
  const isReused = again.ok && again.socket.isSessionReused();
  if (again.ok) again.socket.destroy();
  if (isReused) return pass("the ticket of one connection was taken at the next");
  return fail(`the ticket was not taken: ${again.ok ? "a full handshake took place" : again.code}`, {
    cause: "several instances behind one name have different ticket keys",
    fix: "give all targets of the route one GATEHOUSE_SECRET_KEY",
  });
}

async function ticket(first: Handshake): Promise<Buffer | undefined> {
  if (!first.ok) return undefined;
  const { socket } = first;
  const present = socket.getProtocol() === "TLSv1.2" ? socket.getSession() : undefined;
  try {
    if (present) return present;
    socket.resume();
    const [session] = await once(socket, "session", { signal: AbortSignal.timeout(TICKET_TIMEOUT_MS) });
    return Buffer.isBuffer(session) ? session : undefined;
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}
