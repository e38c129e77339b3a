import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Gatehouse } from "./gatehouse.ts";

/** A peer waits no longer for an answer that may never come. */
const PATIENCE_MS = 400;
/** Fields that HTTP/2 has no place for, or that are set by the client itself. */
const NOT_IN_HTTP2 = /^(?:host|connection|upgrade|transfer-encoding|content-length|expect)$/;

/** A peer that says exactly what the test wants, well-formed or not. */
export class WirePeer {
  readonly #gatehouse: Gatehouse;

  constructor(gatehouse: Gatehouse) {
    this.#gatehouse = gatehouse;
  }

  /** Opens TLS through the dispatcher. Its errors are nobody's business: each test looks at what it waits for. */
  async secure(hostname: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const { port, caPem } = this.#gatehouse;
    const place = { port, host: "127.0.0.1", servername: hostname, ca: caPem };
    const socket = connect({ ALPNProtocols: ["http/1.1"], ...place, ...options });
    socket.on("error", () => undefined);
    await once(socket, "secureConnect");
    return socket;
  }

  /** Sends octets and hangs up when nothing happens any more; returns what was answered. */
  async say(hostname: string, text: string, options: ConnectionOptions = {}): Promise<string> {
    const socket = await this.secure(hostname, options);
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.write(Buffer.from(text, "latin1"));
    await closed(socket);
    return answer;
  }

  async openHttp2(hostname: string): Promise<ClientHttp2Session> {
    const socket = await this.secure(hostname, { ALPNProtocols: ["h2"] });
    const { port } = this.#gatehouse;
    const session = connectHttp2(`https://${hostname}:${port}`, { createConnection: () => socket });
    return session.on("error", () => undefined);
  }

  /** Says a request of HTTP/1.1 on HTTP/2, as far as that protocol lets it be said. */
  async sayOverHttp2(hostname: string, text: string): Promise<void> {
    const [head = "", body = ""] = text.split(/\r\n\r\n/, 2);
    const [line = "", ...fields] = head.split("\r\n");
    const [method = "GET", path = "/"] = line.split(" ");
    const session = await this.openHttp2(hostname);
    session.setTimeout(PATIENCE_MS, () => session.destroy());
    const pseudo = { ":method": method === "CONNECT" ? "GET" : method, ":path": path };
    try {
      const stream = session.request({ ...http2Fields(fields), ...pseudo }, { endStream: body === "" });
      stream.on("error", () => undefined).resume();
      if (body !== "") stream.end(body);
      await closed(stream);
    } catch {
      // node:http2 itself refuses to send some of it.
    }
    session.destroy();
  }
}

/** Resolves however it ended; `once` would take a reset for a failure of the test. */
export async function closed(stream: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("close", resolve);
  if (stream.closed) resolve();
  await promise;
}

function http2Fields(fields: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const field of fields) {
    const [, name, value = ""] = /^([\w-]+): ([\t\u0020-\u007e]*)$/.exec(field) ?? [];
    if (name !== undefined && !NOT_IN_HTTP2.test(name.toLowerCase())) found[name.toLowerCase()] = value;
  }
  return found;
}
