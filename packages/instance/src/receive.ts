import type { Socket } from "node:net";
import { canonicalIp, type Address, type AddressList, type AddressPair } from "@gatehouse/shared/address";
import { readProxyHeader } from "@gatehouse/shared/proxy-header";
import { isConnectionId, newConnectionId } from "@gatehouse/shared/record-id";

/** Stands where an IP address is expected when none is known: the word of RFC 7239 section 6.2. It matches no CIDR block. */
export const UNKNOWN_IP = "unknown";

export interface ReceiveOptions {
  /** Senders whose header is believed. */
  readonly proxyFrom: AddressList;
  /** True on a unix socket: the file permission has told who may connect. */
  readonly isUnix: boolean;
  /** Milliseconds for the whole header, absolute. */
  readonly timeoutMs: number;
}

/** `left`: the sender closed before a single byte, as health checks and scanners do. */
type ReceiveFailure = "untrusted_sender" | "bad_proxy_header" | "proxy_header_timeout" | "left";

export type Received =
  | { readonly ok: true; readonly id: string; readonly addresses: AddressPair }
  | { readonly ok: false; readonly reason: ReceiveFailure; readonly problem: string };

/**
 * Takes the PROXY header off the front of an accepted connection. It is mandatory and believed only from listed senders; the bytes
 * behind it are put back, unread. Must not answer: a sender that isn't ours gets no byte. The caller destroys the socket
 * on failure. Never rejects.
 */
export function receive(socket: Socket, options: ReceiveOptions): Promise<Received> {
  const from = canonicalIp(socket.remoteAddress ?? UNKNOWN_IP);
  if (!options.isUnix && !options.proxyFrom.has(from)) {
    return Promise.resolve({ ok: false, reason: "untrusted_sender", problem: "not in GATEHOUSE_PROXY_FROM" });
  }
  const { promise, resolve } = Promise.withResolvers<Received>();
  let bytes: Buffer = Buffer.alloc(0);
  const settle = (received: Received): void => {
    clearTimeout(deadline);
    socket.off("data", take).off("end", end).off("close", end);
    // Nothing may arrive between here and the next owner of the socket.
    socket.pause();
    resolve(received);
  };
  const fail = (reason: ReceiveFailure, problem: string): void => settle({ ok: false, reason, problem });
  const take = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const read = readProxyHeader(bytes);
    if (read.kind === "incomplete") return;
    if (read.kind === "malformed") return fail("bad_proxy_header", read.problem);
    const rest = bytes.subarray(read.length);
    settle({
      ok: true,
      id: connectionId(read.header.uniqueId),
      addresses: read.header.addresses ?? ownAddresses(socket),
    });
    if (rest.length > 0) socket.unshift(rest);
  };
  const end = (): void => {
    if (bytes.length === 0) fail("left", "closed before the PROXY header");
    else fail("bad_proxy_header", "closed inside the PROXY header");
  };
  const deadline = setTimeout(
    () => fail("proxy_header_timeout", `no whole PROXY header in ${options.timeoutMs} ms`),
    options.timeoutMs,
  );
  socket.on("data", take).on("end", end).on("close", end);
  return promise;
}

/** The sender's id when it has the dispatcher's form, so that one query joins both tiers; another sender's own ids are not taken over. */
function connectionId(uniqueId: string | undefined): string {
  return uniqueId !== undefined && isConnectionId(uniqueId) ? uniqueId : newConnectionId();
}

/** The socket's own ends, for senders that speak for themselves (LOCAL: a balancer's health check). */
function ownAddresses(socket: Socket): AddressPair {
  return {
    source: toAddress(socket.remoteAddress, socket.remotePort),
    destination: toAddress(socket.localAddress, socket.localPort),
  };
}

function toAddress(ip: string | undefined, port: number | undefined): Address {
  return { ip: canonicalIp(ip ?? UNKNOWN_IP), port: port ?? 0 };
}
