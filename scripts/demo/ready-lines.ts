import type { DemoFile } from "./demo-file.ts";
import { DEMO_HOSTS } from "./hosts.ts";
import { initializeMessage } from "./initialize.ts";
import { REPOSITORY, type DemoOptions } from "./options.ts";

const JSON_HEADERS = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";

/** Prints lines to paste into a shell while the demo stays up. */
export function printReadyLines(file: DemoFile, options: DemoOptions, clientId: string): void {
  const { users, sign_in: signIn } = file.github;
  const people = signIn === undefined ? [] : users.map((login) => `  ${signIn}${login}`);
  const lines = [
    "",
    "Try it (in the repository's folder):",
    ...curlLines(file, options),
    ...redisLines(file, options, clientId),
    ...(people.length > 0 ? ["sign a browser in at the stand-in for GitHub:", ...people] : []),
    "",
    `everything of it: ${options.stateDir}/demo.json, logs beside it`,
    "Ctrl-C or npm run demo:stop ends it",
  ];
  console.log(lines.join("\n"));
}

function curlLines({ dispatcher, ca_file, hosts }: DemoFile, options: DemoOptions): string[] {
  const { host, port } = dispatcher;
  return DEMO_HOSTS.flatMap(({ hostname, upstream, config }) => {
    const origin = hosts[hostname]?.origin ?? "";
    const curl = `curl --resolve ${hostname}:${port}:${host} --cacert ${ca_file}`;
    const initialize = `${origin}/mcp ${JSON_HEADERS} -d '${initializeMessage("curl")}'`;
    if (config.auth_enabled)
      return [
        `  ${curl} -i ${initialize}   # 401, and where to ask`,
        `  ${curl} ${origin}/.well-known/oauth-authorization-server`,
      ];
    if (upstream === "simple" && options.foreignUpstream !== undefined) return [`  ${curl} ${origin}/`];
    return [`  ${curl} ${initialize}`, `  ${curl} -N ${origin}/sse-ping`];
  });
}

function redisLines(file: DemoFile, options: DemoOptions, clientId: string): string[] {
  // An exported REDIS_URL is the user's own system: the line must name the demo's server then.
  const isDefault = options.stateDir === `${REPOSITORY}/.gatehouse` && !process.env["REDIS_URL"];
  const redis = `${isDefault ? "" : `REDIS_URL=${file.redis_url} `}scripts/redis`;
  return [
    `  ${redis} "GET oauth:client:${clientId}"   # Claude's registration, secrets as hashes`,
    `  ${redis} "KEYS oauth:token:*"   # the access tokens; deleting one revokes it`,
    `  ${redis} "GET proxy:simple-oauth.localhost"`,
    `  ${redis} "DEL route:fast-echo.localhost"   # refused within a second`,
    `  ${redis} "SET route:fast-echo.localhost ${file.hosts["fast-echo.localhost"]?.port}"   # served again`,
  ];
}
