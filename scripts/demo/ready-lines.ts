import type { DemoFile } from "./demo-file.ts";
import { REPOSITORY, type DemoOptions } from "./options.ts";

const INITIALIZE = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "curl", version: "1" } },
});

/** Prints lines to paste into a shell while the demo stays up. */
export function printReadyLines(file: DemoFile, options: DemoOptions): void {
  const { host, port } = file.dispatcher;
  const lines = ["", "Try it (in the repository's folder):"];
  for (const [hostname, { origin }] of Object.entries(file.hosts)) {
    const curl = `curl --resolve ${hostname}:${port}:${host} --cacert ${file.ca_file}`;
    const isForeign = hostname === "simple.localhost" && options.foreignUpstream !== undefined;
    if (isForeign) {
      lines.push(`  ${curl} ${origin}/`);
      continue;
    }
    const headers = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";
    lines.push(`  ${curl} ${origin}/mcp ${headers} -d '${INITIALIZE}'`, `  ${curl} -N ${origin}/sse-ping`);
  }
  // An exported REDIS_URL is the user's own system: the line must name the demo's server then.
  const isDefault = options.stateDir === `${REPOSITORY}/.gatehouse` && !process.env["REDIS_URL"];
  const redis = `${isDefault ? "" : `REDIS_URL=${file.redis_url} `}scripts/redis`;
  lines.push(
    `  ${redis} "GET proxy:simple.localhost"`,
    `  ${redis} "DEL route:fast-echo.localhost"   # refused within a second`,
    `  ${redis} "SET route:fast-echo.localhost ${file.hosts["fast-echo.localhost"]?.port}"   # served again`,
    "",
    `everything of it: ${options.stateDir}/demo.json, logs beside it`,
    "Ctrl-C or npm run demo:stop ends it",
  );
  console.log(lines.join("\n"));
}
