import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asOne, type Contender } from "../contender.ts";
import { CHAIN_CORE } from "../cores.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { startPeer } from "./peer-process.ts";
import type { TokenAlgorithm, TokenTrust } from "../tokens.ts";

/** What descriptors allow: 20,000 of them where this was written, two a connection. */
const MAX_CONNECTIONS = 9_100;

/** As Debian ships it in what matters here: it logs a line a connection or request. Ours goes to a file, as no syslog need run. */
function preamble(threads: number): string {
  return `global
  log stdout format raw local0
  maxconn ${MAX_CONNECTIONS}
  nbthread ${threads}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  log global
  timeout connect 5s
  timeout client 6h
  timeout server 6h
  timeout http-request 15s
  timeout http-keep-alive 75s
  timeout tunnel 6h
`;
}

function dispatch(port: number, server: string): string {
  return `frontend dispatch
  bind ${LOOPBACK}:${port} backlog 4096
  mode tcp
  option tcplog
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend behind if { req.ssl_sni -i ${HOSTNAME} }
backend behind
  mode tcp
  server one ${server} send-proxy-v2
`;
}

/** Checks what Gatehouse checks of a token, but that it was revoked: algorithm, signature, issuer, audience, end. */
function tokenCheck(algorithm: TokenAlgorithm, { issuer, keyFile }: TokenTrust): string {
  return `  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.user) var(txn.token),jwt_payload_query('$.sub')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str ${algorithm} }
  http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer} }
  http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"${keyFile}") -m int 1 }
  http-request del-header Authorization
  http-request set-header X-Auth-User %[var(txn.user)]
`;
}

interface Terminator {
  readonly port: number;
  readonly bind: string;
  readonly check: string;
  readonly pem: string;
  readonly origin: number;
}

function terminate({ port, bind, check, pem, origin }: Terminator): string {
  return `frontend terminate
  bind ${LOOPBACK}:${port} ssl crt ${pem} alpn h2,http/1.1 backlog 4096 ${bind}
  mode http
  option httplog
  option forwardfor
${check}  http-request set-header X-Forwarded-Proto https
  default_backend origin
backend origin
  mode http
  server one ${LOOPBACK}:${origin}
`;
}

let started = 0;

async function start(
  place: Place,
  name: string,
  run: { text: string; port: number; core?: number | undefined },
): Promise<Contender> {
  const file = join(place.directory, `haproxy-${++started}.cfg`);
  await writeFile(file, run.text);
  const core = "core" in run ? run.core : CHAIN_CORE;
  const command = ["haproxy", "-db", "-f", file];
  return await startPeer({ name, command, at: run.port, logFile: `${file}.log`, core });
}

/** Reads server names and sends connections on with a PROXY v2 header; `server` is a port or a unix socket. */
export async function startHaproxyDispatcher(place: Place, options: HaproxyDispatcher): Promise<Contender> {
  const { name = "haproxy", server, threads = 1 } = options;
  const port = await place.port();
  // An undefined core is a choice, too: any.
  const core = "core" in options ? options.core : CHAIN_CORE;
  return await start(place, name, { text: preamble(threads) + dispatch(port, server), port, core });
}

interface HaproxyDispatcher {
  readonly name?: string;
  /** A port of loopback (`127.0.0.1:1234`) or a unix socket (`unix@/path`). */
  readonly server: string;
  readonly threads?: number;
  /** Undefined: on any core. */
  readonly core?: number | undefined;
}

export interface HaproxyTls {
  readonly name: string;
  /** Undefined: tokens are not looked at. */
  readonly tokens?: TokenTrust & { readonly algorithm: TokenAlgorithm };
  /** 2: one process reads the server name, a second one terminates TLS, as Gatehouse does it. */
  readonly tiers: 1 | 2;
}

/** Terminates TLS, checks tokens, forwards to the origin. */
export async function startHaproxyTls(place: Place, options: HaproxyTls): Promise<Contender> {
  const { name, tokens, tiers } = options;
  const { certPem, keyPem } = place.certificate;
  const pem = join(place.directory, "haproxy.pem");
  await writeFile(pem, `${certPem}\n${keyPem}`, { mode: 0o600 });
  const port = await place.port();
  const text = terminate({
    port,
    bind: tiers === 2 ? "accept-proxy" : "",
    check: tokens === undefined ? "" : tokenCheck(tokens.algorithm, tokens),
    pem,
    origin: place.origin.port,
  });
  const inner = await start(place, name, { text: preamble(1) + text, port });
  if (tiers === 1) return inner;
  return asOne(await startHaproxyDispatcher(place, { name, server: `${LOOPBACK}:${port}` }), inner);
}
