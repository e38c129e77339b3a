import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Passes connections on to a unix socket, and can hold what comes back, so that a test decides which of two answers is first. */
export class HoldingProxy {
  readonly url: string;
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #word: string | undefined;
  #releases: (() => void)[] = [];
  #passedText = "";
  /** What is held now, as text. */
  held = "";

  private constructor(target: string) {
    this.#path = `${target}.proxy`;
    this.url = `unix://${this.#path}`;
    this.#server = createServer((peer) => this.#pass(peer, connect(target)));
  }

  static async start(target: string): Promise<HoldingProxy> {
    const proxy = new HoldingProxy(target);
    proxy.#server.listen(proxy.#path);
    await once(proxy.#server, "listening");
    return proxy;
  }

  /** From now on, what comes back on a connection after it has sent this word waits for {@link release}. */
  hold(word: string): void {
    this.#word = word;
  }

  release(): void {
    this.#word = undefined;
    this.held = "";
    for (const release of this.#releases.splice(0)) release();
  }

  /** How often a word came back and was passed on. */
  passed(word: string): number {
    return this.#passedText.split(word).length - 1;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await rm(this.#path, { force: true });
  }

  #pass(peer: Socket, target: Socket): void {
    let isHolding = false;
    peer.on("data", (chunk) => {
      if (this.#word !== undefined && chunk.toString().toLowerCase().includes(this.#word)) isHolding = true;
      target.write(chunk);
    });
    target.on("data", (chunk) => {
      const deliver = (): void => {
        isHolding = false;
        this.#passedText += chunk.toString();
        peer.write(chunk);
      };
      if (!isHolding) deliver();
      else {
        this.held += chunk.toString();
        this.#releases.push(deliver);
      }
    });
    for (const [socket, other] of [
      [peer, target],
      [target, peer],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => other.destroy());
    }
  }
}
