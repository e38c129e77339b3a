import { readProxyHeader, type ProxyHeader } from "@gatehouse/shared/proxy-header";
import type { Preamble } from "./preamble.ts";
import { ConnectionRefusal } from "./refusal.ts";

/**
 * Reads the PROXY header that a listed sender must put in front of everything, and leaves the bytes behind it to the next step.
 * Only for connections from listed senders: from anybody else such bytes are the peer's own (proxy-protocol.txt section 2: "MUST NOT try to guess").
 * @throws {ConnectionRefusal} `bad_proxy_header`; whatever {@link Preamble.next} throws
 */
export async function readInboundHeader(preamble: Preamble): Promise<ProxyHeader> {
  let bytes: Buffer = await preamble.next();
  for (;;) {
    const read = readProxyHeader(bytes);
    switch (read.kind) {
      case "header":
        preamble.discard(read.length);
        return read.header;
      case "malformed":
        throw new ConnectionRefusal("bad_proxy_header", read.problem);
      case "incomplete":
        bytes = Buffer.concat([bytes, await preamble.next()]);
    }
  }
}
