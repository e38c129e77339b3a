import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { CHAIN_CORE } from "../cores.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { startPeer } from "./peer-process.ts";

let started = 0;

/** sniproxy: server names only, no PROXY header. */
export async function startSniproxy(place: Place): Promise<Contender> {
  const file = join(place.directory, `sniproxy-${++started}.conf`);
  const port = await place.port();
  await writeFile(
    file,
    `user root
pidfile ${file}.pid
error_log { filename ${file}.error }
listener ${LOOPBACK}:${port} {
  protocol tls
  table names
  access_log { filename ${file}.access }
}
table names {
  ${HOSTNAME.replaceAll(".", String.raw`\.`)} ${LOOPBACK}:${place.sink.port}
}
`,
  );
  const command = ["sniproxy", "-f", "-c", file];
  return await startPeer({ name: "sniproxy", command, at: port, logFile: `${file}.out`, core: CHAIN_CORE });
}
