import { hello, serverName } from "./hello-bytes.ts";
import { TestDispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { connectTo, readBytes, startRawTarget, type RawTarget, type TargetKind } from "./raw-target.ts";
import type net from "node:net";

export const HELLO = hello({ extensions: [serverName("a.example")] });

/** A spliced connection with both ends in the test's hands: the target has read the hello, nothing else was sent. */
export interface Tunnel {
  readonly dispatcher: TestDispatcher;
  readonly target: RawTarget;
  readonly peer: net.Socket;
  readonly far: net.Socket;
  /** Opens one more connection through the same dispatcher. */
  another(): Promise<{ peer: net.Socket; far: net.Socket }>;
  stop(): Promise<void>;
}

export async function openTunnel(
  kind: TargetKind,
  options: Partial<DispatcherOptions> = {},
): Promise<Tunnel> {
  const target = await startRawTarget(kind);
  const dispatcher = await TestDispatcher.start({
    routes: { "a.example": `${target.route};proxy=off` },
    ...options,
  });
  let index = 0;
  const another = async (): Promise<{ peer: net.Socket; far: net.Socket }> => {
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    const far = await target.socket(index++);
    const seen = await readBytes(far, HELLO.length);
    if (!seen.equals(HELLO)) throw new Error("the target did not see the hello first");
    return { peer, far };
  };
  const { peer, far } = await another();
  return {
    dispatcher,
    target,
    peer,
    far,
    another,
    stop: async () => {
      peer.destroy();
      await target.stop();
      await dispatcher.stop();
    },
  };
}
