import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";

/** What every peer is shown: a page that loads itself again, for a browser resumes its session on a later connection only. */
const PAGE = '<!doctype html><meta http-equiv="refresh" content="0"><title>corpus</title>';
const ANSWER = [
  "HTTP/1.1 200 OK",
  "Content-Type: text/html",
  `Content-Length: ${PAGE.length}`,
  "Connection: close",
  "",
  PAGE,
].join("\r\n");

/**
 * A real TLS server behind a relay that keeps the first flight of every connection up to the end of its ClientHello. The
 * handshake goes on as with any server, so that a second connection has a session to resume.
 */
export class RecordingRelay {
  /** One flight for each connection, in the order in which their hellos were complete. */
  readonly flights: Buffer[] = [];
  readonly #server: tls.Server;
  readonly #relay: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(credentials: { readonly cert: string; readonly key: string }) {
    this.#server = tls.createServer({
      ...credentials,
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => protocol === "http/1.1"),
      minVersion: "TLSv1",
      ciphers: "ALL:@SECLEVEL=0",
    });
    this.#server.on("tlsClientError", () => {}); // a peer that refuses our certificate has sent its hello all the same
    this.#server.on("secureConnection", answer);
    this.#relay = net.createServer((socket) => this.#join(socket));
  }

  static async start(credentials: { readonly cert: string; readonly key: string }): Promise<RecordingRelay> {
    const relay = new RecordingRelay(credentials);
    for (const server of [relay.#server, relay.#relay]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return relay;
  }

  get port(): number {
    return portOf(this.#relay);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#relay.close();
    this.#server.close();
  }

  #join(socket: net.Socket): void {
    const onward = net.connect(portOf(this.#server), "127.0.0.1");
    for (const end of [socket, onward]) {
      this.#sockets.add(end);
      end.on("error", () => {}); // peers are killed once their hello is here
      end.on("close", () => this.#sockets.delete(end));
    }
    let flight = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      flight = Buffer.concat([flight, chunk]);
      const length = flightLength(flight);
      if (length === undefined) return;
      socket.off("data", take);
      this.flights.push(flight.subarray(0, length));
    };
    socket.on("data", take);
    socket.pipe(onward).pipe(socket);
  }
}

/** The octets of the records that carry the first handshake message; undefined while it is not whole. */
function flightLength(flight: Buffer): number | undefined {
  let message = Buffer.alloc(0);
  for (let at = 0; at + 5 <= flight.length;) {
    const end = at + 5 + flight.readUInt16BE(at + 3);
    if (end > flight.length) return undefined;
    message = Buffer.concat([message, flight.subarray(at + 5, end)]);
    if (message.length >= 4 && message.length >= 4 + message.readUIntBE(1, 3)) return end;
    at = end;
  }
  return undefined;
}

function answer(socket: tls.TLSSocket): void {
  socket.on("error", () => {});
  let request = "";
  socket.on("data", (chunk: Buffer) => {
    request += chunk.toString("latin1");
    if (request.includes("\r\n\r\n")) socket.end(ANSWER);
  });
}

function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}
