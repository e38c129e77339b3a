import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

/** What an upstream answers with when it is asked for one thing. */
type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** An upstream whose every answer holds secrets, and that misbehaves in each way an upstream can. */
export class LeakyUpstream {
  readonly #server: Server;
  readonly #webSockets: WebSocketServer;
  readonly #plant: (slot: string) => string;
  readonly #handlers: Readonly<Record<string, Handler>>;

  private constructor(plant: (slot: string) => string) {
    this.#plant = plant;
    this.#handlers = {
      "/stream": (_request, response) => this.#stream(response, (last) => response.end(last)),
      "/endless": (_request, response) => this.#stream(response, () => undefined),
      "/cut": (_request, response) => this.#stream(response, () => response.destroy()),
      "/silent": () => undefined,
      "/reset": (request) => request.socket.resetAndDestroy(),
      "/nonsense": (request) => request.socket.end(`NONSENSE ${this.#plant("upstream status line")}\r\n\r\n`),
      "/bad-header": (request) =>
        request.socket.end(`HTTP/1.1 200 OK\r\nX Y: ${this.#plant("upstream header line")}\r\n\r\n`),
      "/trailers": (_request, response) => {
        response.writeHead(200, { trailer: "x-late" });
        response.addTrailers({ "x-late": this.#plant("upstream trailer") });
        response.end(this.#plant("upstream body"));
      },
    };
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#webSockets = new WebSocketServer({
      server: this.#server,
      verifyClient: ({ req }: { req: IncomingMessage }) => !(req.url ?? "").startsWith("/ws-refused"),
    });
    this.#webSockets.on("connection", (socket, request) => {
      socket.send(this.#plant("upstream WebSocket message"));
      if ((request.url ?? "").startsWith("/ws-short")) setTimeout(() => socket.terminate(), 20);
    });
  }

  /** `plant` makes the secrets. */
  static async start(plant: (slot: string) => string): Promise<LeakyUpstream> {
    const upstream = new LeakyUpstream(plant);
    upstream.#server.listen(0, "127.0.0.1");
    await once(upstream.#server, "listening");
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.#webSockets.clients) socket.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const { pathname } = new URL(request.url ?? "/", "http://upstream");
    const handler = this.#handlers[pathname];
    if (handler !== undefined) {
      handler(request, response);
      return;
    }
    request.on("end", () => {
      response.setHeader("set-cookie", [`a=${this.#plant("upstream cookie")}`, "b=1"]);
      response.setHeader("mcp-session-id", this.#plant("upstream session id"));
      response.setHeader("x-api-key", this.#plant("upstream header"));
      response.setHeader("location", `/?code=${this.#plant("upstream location")}`);
      response.end(JSON.stringify({ result: this.#plant("upstream body") }));
    });
  }

  /** Three events, so that one is due and one is for debug only. */
  #stream(response: ServerResponse, finish: (last: string) => void): void {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const event = (): string => `data: ${this.#plant("upstream event")}\n\n`;
    let count = 0;
    const timer = setInterval(() => {
      response.write(event());
      if (++count < 3) return;
      clearInterval(timer);
      finish(event());
    }, 15);
    response.on("close", () => clearInterval(timer));
  }
}
