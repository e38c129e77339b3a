import { Redis, type RedisOptions } from "ioredis";

/** Pause before a connection that the library gave up is opened again. */
const REOPEN_DELAY_MS = 200;

/**
 * One server as a connection that ends only when it is told to. ioredis retries a lost socket for ever, and yet gives a connection up
 * when its failover detector hears of the new master while a Sentinel is being asked where the master is, which is when a master that
 * crashed is being replaced.
 */
export class ServerConnection extends Redis {
  #isClosing = false;
  #reopening: NodeJS.Timeout | undefined;

  constructor(options: RedisOptions & { replyMapping: "legacy" }) {
    super(options);
    this.on("end", () => {
      if (this.#isClosing) return;
      this.#reopening = setTimeout(() => {
        this.connect().catch(() => undefined); // told through the events, and retried
      }, REOPEN_DELAY_MS);
    });
  }

  override disconnect(isReconnecting = false): void {
    if (!isReconnecting) {
      this.#isClosing = true;
      clearTimeout(this.#reopening);
    }
    super.disconnect(isReconnecting);
  }
}
