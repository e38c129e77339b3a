import type { DemoFile } from "./demo-file.ts";
import { isBackground } from "./detach.ts";
import { DEMO_HOSTS } from "./hosts.ts";
import { initializeMessage } from "./initialize.ts";
import { REPOSITORY, stopCommand, type DemoOptions } from "./options.ts";

const JSON_HEADERS = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";

/** Prints lines to paste into a shell while the demo stays up. */
export function printReadyLines(
  file: DemoFile,
  options: DemoOptions,
  { address, clientId }: { readonly address: string; readonly clientId: string },
): void {
  const { users, sign_in: signIn } = file.github;
  const people = signIn === undefined ? [] : users.map((login) => `  ${signIn}${login}`);
  const lines = [
    "",
    "Try it (in the repository's folder):",
    ...curlLines(file, options),
    ...redisLines(file, options, clientId),
    ...logLines(file, options, address),
    ...Object.entries(file.metrics).map(([role, page]) => `  curl ${page}   # metrics: ${role}`),
    ...(people.length > 0 ? ["sign a browser in at the stand-in for GitHub:", ...people] : []),
    "",
    `everything of it: ${options.stateDir}/demo.json, logs beside it`,
    `${isBackground(process.env) ? "" : "Ctrl-C or "}${stopCommand(options.stateDir)} ends it`,
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

/** In front of a command that has to read this demo's server and would not find it by itself. */
function placeOf(file: DemoFile, options: DemoOptions): string {
  // An exported URL is the user's own system: the line must name the demo's server then.
  const isOwn = process.env["REDIS_URL"] || process.env["LOG_REDIS_URL"];
  const isFound = options.stateDir === `${REPOSITORY}/.gatehouse` && !isOwn;
  return isFound
    ? ""
    : `REDIS_URL=${file.redis_url} ${process.env["LOG_REDIS_URL"] ? "LOG_REDIS_URL= " : ""}`;
}

function logLines(file: DemoFile, options: DemoOptions, address: string): string[] {
  const place = placeOf(file, options);
  return [
    `  ${place}scripts/log-by-ip ${address}   # what Claude did here`,
    `  ${place}scripts/log-by-hostname simple-oauth.localhost --status 4xx`,
    `  ${place}scripts/gatehouse log user octocat --json --limit 5`,
    `  ${place}scripts/gatehouse log follow   # watch it, and connect from another terminal`,
  ];
}

function redisLines(file: DemoFile, options: DemoOptions, clientId: string): string[] {
  const redis = `${placeOf(file, options)}scripts/redis`;
  return [
    `  ${redis} "GET oauth:client:${clientId}"   # Claude's registration, secrets as hashes`,
    `  ${redis} "KEYS oauth:token:*"   # the access tokens; deleting one revokes it`,
    `  ${redis} "GET proxy:simple-oauth.localhost"`,
    `  ${redis} "DEL route:fast-echo.localhost"   # refused within a second`,
    `  ${redis} "SET route:fast-echo.localhost ${file.hosts["fast-echo.localhost"]?.port}"   # served again`,
  ];
}
