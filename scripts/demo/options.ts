import { resolve } from "node:path";
import { parseArgs } from "node:util";

export const REPOSITORY: string = resolve(import.meta.dirname, "../..");

export const USAGE = `npm run demo -- [--once | --detach] [--state-dir DIR]
  --once           exit after the run: 0 when every step succeeded
  --detach         return when the run is over and leave everything running (npm run demo:stop ends it)
  --state-dir DIR  keep demo.json, logs and certificates there instead of .gatehouse; two demos need two
environment
  GATEHOUSE_DEMO_UPSTREAM      http://host:port in place of the MCP server behind simple-oauth and simple.localhost
  GATEHOUSE_DEMO_PING_SECONDS  seconds between two pings on an event stream (15)
  GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET
                               an OAuth app at GitHub (GITHUB_URL, GITHUB_API_URL: another place than github.com) instead of the
                               stand-in; the run then waits for your browser
  GATEHOUSE_TEST_REDIS_URL     an empty Redis to use instead of a private one (REDIS_URL is ignored)
`;

const GITHUB_VARIABLES = [
  "GITHUB_CLIENT_ID",
  "GITHUB_CLIENT_SECRET",
  "GITHUB_CLIENT_SECRET_FILE",
  "GITHUB_URL",
  "GITHUB_API_URL",
];

/** What the demo was asked to do. */
export interface DemoOptions {
  readonly mode: "stay" | "once" | "detach";
  readonly stateDir: string;
  /** Base URL that replaces the MCP server behind the first two hosts. */
  readonly foreignUpstream: string | undefined;
  /** Seconds between two pings on an event stream. */
  readonly pingSeconds: number;
  /** Variables for the instances that name a real OAuth app; undefined: the stand-in for GitHub. */
  readonly githubApp: Readonly<Record<string, string>> | undefined;
}

/** Returns the command that ends the demo of a state directory. */
export function stopCommand(stateDir: string): string {
  return stateDir === `${REPOSITORY}/.gatehouse`
    ? "npm run demo:stop"
    : `npm run demo:stop -- --state-dir ${stateDir}`;
}

/** A complaint about arguments or environment, for the person who typed them. */
export class UsageError extends Error {}

/** Reads arguments and environment. @throws {UsageError} */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): DemoOptions {
  const values = readArguments(args);
  if (values.once && values.detach) throw new UsageError("--once and --detach exclude each other");
  const mode = values.detach ? "detach" : values.once ? "once" : "stay";
  return {
    mode,
    stateDir: resolve(values["state-dir"] ?? `${REPOSITORY}/.gatehouse`),
    foreignUpstream: readUpstream(env["GATEHOUSE_DEMO_UPSTREAM"]),
    pingSeconds: readPingSeconds(env["GATEHOUSE_DEMO_PING_SECONDS"]),
    githubApp: readGitHubApp(env),
  };
}

function readArguments(args: readonly string[]): { once?: boolean; detach?: boolean; "state-dir"?: string } {
  try {
    const options = {
      once: { type: "boolean" },
      detach: { type: "boolean" },
      "state-dir": { type: "string" },
    } as const;
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function readUpstream(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new UsageError(`GATEHOUSE_DEMO_UPSTREAM must be http://host:port, not ${JSON.stringify(text)}`);
}

function readPingSeconds(text = "15"): number {
  const seconds = Number(text);
  if (seconds >= 0.05 && seconds <= 3600) return seconds;
  throw new UsageError("GATEHOUSE_DEMO_PING_SECONDS must be a number from 0.05 to 3600");
}

function readGitHubApp(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> | undefined {
  const given = GITHUB_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []));
  const app: Record<string, string> = Object.fromEntries(given);
  if (app["GITHUB_CLIENT_ID"] === undefined) return undefined;
  if (app["GITHUB_CLIENT_SECRET"] ?? app["GITHUB_CLIENT_SECRET_FILE"]) return app;
  throw new UsageError(
    "GITHUB_CLIENT_ID is set, so GITHUB_CLIENT_SECRET or GITHUB_CLIENT_SECRET_FILE must be",
  );
}
