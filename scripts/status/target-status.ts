import { connect } from "node:net";
import { usableSocketPath } from "@gatehouse/shared/listen-address";
import { formatTarget, parseRoute, type Target } from "@gatehouse/shared/route";

/** A target in the same network accepts in a millisecond; who needs longer than this is not there for peers either. */
const PROBE_TIMEOUT_MS = 1000;

/** A target of a route, and whether something accepts connections there. */
export interface TargetStatus {
  readonly target: string;
  readonly answers: boolean;
  /** The system's word: ECONNREFUSED, ENOENT, EACCES, …; null when it answers. */
  readonly error: string | null;
}

/** Connects to every target of a route and leaves at once: to an instance that is a health check, which it does not record. */
export async function targetsOf(route: string): Promise<TargetStatus[]> {
  const parsed = parseRoute(route);
  return await Promise.all((parsed.ok ? parsed.route.targets : []).map(probeTarget));
}

/** Connects to one target and leaves at once. */
export async function probeTarget(target: Target): Promise<TargetStatus> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const socket =
    target.kind === "unix"
      ? connect(usableSocketPath(target.path))
      : connect({ host: target.host, port: target.port });
  socket.setTimeout(PROBE_TIMEOUT_MS);
  socket.once("connect", () => resolve(null));
  socket.once("timeout", () => resolve("ETIMEDOUT"));
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  const error = await promise;
  socket.destroy();
  return { target: formatTarget(target), answers: error === null, error };
}
