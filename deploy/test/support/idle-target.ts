import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";

/** A target in a process of its own (its descriptors are its own too) that answers a hello with one octet and then nothing. */
export interface IdleTarget {
  /** Value for `route:…`. */
  readonly route: string;
  /** A real ClientHello for `idle.localhost`. */
  readonly hello: Buffer;
  kill(): Promise<void>;
}

const PROGRAM = `
require("node:net").createServer((socket) => {
  socket.once("data", () => socket.write("."));
  socket.on("error", () => {});
}).listen({ path: process.argv[1], backlog: 4096 }, () => process.stdout.write("ready\\n"));
process.stdin.resume().on("close", () => process.exit(0));
`;

export async function startIdleTarget(): Promise<IdleTarget> {
  const path = join(await mkdtemp("/tmp/gatehouse-idle-"), "target.sock");
  const child = spawn(process.execPath, ["-e", PROGRAM, path], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return {
    route: `unix:${path}`,
    hello: await captureHello("idle.localhost"),
    kill: async () => {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function captureHello(servername: string): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port, servername });
  peer.on("error", () => undefined);
  const [socket] = await once(server, "connection");
  const [hello] = (await once(socket, "data")) as [Buffer];
  peer.destroy();
  server.close();
  return hello;
}
