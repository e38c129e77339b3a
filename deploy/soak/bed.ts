import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { MEASURABLE } from "../test/support/held-size.ts";
import type { Gatehouse } from "../test/support/gatehouse.ts";
import { ProtectedGatehouse } from "../test/support/protected-gatehouse.ts";
import { UpstreamProcess } from "../test/support/upstream-process.ts";

/** Two hosts that run all the time, one with logins and one without, one of WebSockets, and one that is restarted again and again. */
export const OPEN = "open.localhost";
export const PROTECTED = "protected.localhost";
export const SOCKETS = "sockets.localhost";
export const RESTARTED = "restarted.localhost";
export const HOSTS = [OPEN, PROTECTED, SOCKETS, RESTARTED] as const;

/** Small enough for a run to come to it. */
export const MAX_RECORDS = 20_000;

/** Lives so short that what is issued in a run ends in it, and Redis comes to rest at what is issued within three minutes. */
const SHORT_LIVES = {
  GATEHOUSE_ACCESS_TOKEN_SECONDS: "45",
  GATEHOUSE_REFRESH_TOKEN_SECONDS: "90",
  GATEHOUSE_GRANT_SECONDS: "180",
  GATEHOUSE_CLIENT_SECONDS: "180",
  GATEHOUSE_UNUSED_CLIENT_SECONDS: "60",
  GATEHOUSE_PENDING_LOGIN_SECONDS: "60",
};
/** What clients keep open for later is over before anything is measured. */
const SHORT_KEEPALIVE = { GATEHOUSE_KEEPALIVE_TIMEOUT_MS: "5000" };
/** All traffic is one client's. */
const NO_LIMITS = {
  GATEHOUSE_REGISTRATIONS_PER_MINUTE: "100000",
  GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE: "100000",
};

/** A whole Gatehouse, and what is behind it. */
export class SoakBed {
  readonly upstream: UpstreamProcess;
  readonly hosts: ProtectedGatehouse;
  readonly #closeSockets: () => void;

  private constructor(parts: {
    upstream: UpstreamProcess;
    hosts: ProtectedGatehouse;
    closeSockets: () => void;
  }) {
    this.upstream = parts.upstream;
    this.hosts = parts.hosts;
    this.#closeSockets = parts.closeSockets;
  }

  static async start(): Promise<SoakBed> {
    const upstream = await UpstreamProcess.start();
    const sockets = await startEcho();
    const env = { ...MEASURABLE, GATEHOUSE_LOG_MAX_RECORDS: String(MAX_RECORDS) };
    const hosts = await ProtectedGatehouse.start([{ hostname: PROTECTED, upstreamUrl: upstream.url }], {
      dispatcherEnv: env,
      instanceEnv: { ...env, ...SHORT_LIVES, ...SHORT_KEEPALIVE, ...NO_LIMITS },
    });
    for (const hostname of [OPEN, RESTARTED]) {
      await hosts.gatehouse.addHost({ hostname, upstreamUrl: upstream.url });
    }
    await hosts.gatehouse.addHost({ hostname: SOCKETS, upstreamUrl: sockets.url });
    return new SoakBed({ upstream, hosts, closeSockets: sockets.close });
  }

  get gatehouse(): Gatehouse {
    return this.hosts.gatehouse;
  }

  get origin(): string {
    return this.hosts.origin(PROTECTED);
  }

  /** Of Gatehouse's processes as they run now. */
  pids(): Readonly<Record<string, number>> {
    const { dispatcher } = this.gatehouse;
    const instances = HOSTS.map((host) => [host.split(".", 1)[0] ?? host, this.gatehouse.instance(host).pid]);
    return { dispatcher: dispatcher.pid, ...(Object.fromEntries(instances) as Record<string, number>) };
  }

  async stop(): Promise<void> {
    await this.hosts.stop();
    await this.upstream.kill();
    this.#closeSockets();
  }
}

/** An upstream that sends back what it is sent. */
async function startEcho() {
  const server = createServer();
  const echo = new WebSocketServer({ server });
  echo.on("connection", (socket) => {
    socket.on("error", () => undefined).on("message", (message: Buffer) => socket.send(message));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}
