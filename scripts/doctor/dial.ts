import { once } from "node:events";
import { connect, type NetConnectOpts } from "node:net";
import { codeOf, isTimeout } from "./wire.ts";

/** A SYN is repeated after one second and after three; whoever has not answered by then drops them. */
const CONNECT_TIMEOUT_MS = 5000;

/** Connects and hangs up. Returns why no connection came about; undefined when one did. */
export async function dial(place: NetConnectOpts): Promise<string | undefined> {
  const socket = connect(place);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    return undefined;
  } catch (error) {
    return isTimeout(error) ? "ETIMEDOUT" : codeOf(error);
  } finally {
    socket.destroy();
  }
}
