import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { CHAIN_CORE } from "../cores.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { startPeer } from "./peer-process.ts";

let started = 0;

/** nginx as a dispatcher: ssl_preread, and a PROXY header (its stream module knows version 1 only). */
export async function startNginx(place: Place): Promise<Contender> {
  const directory = join(place.directory, `nginx-${++started}`);
  await mkdir(directory);
  const port = await place.port();
  const file = join(directory, "nginx.conf");
  await writeFile(
    file,
    `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${directory}/pid;
error_log ${directory}/error.log;
events { worker_connections 19000; }
stream {
  log_format line '$remote_addr [$time_local] $ssl_preread_server_name $status $bytes_sent $bytes_received $session_time';
  access_log ${directory}/access.log line;
  map $ssl_preread_server_name $target { ${HOSTNAME} ${LOOPBACK}:${place.sink.port}; }
  server {
    listen ${LOOPBACK}:${port} backlog=4096;
    ssl_preread on;
    proxy_protocol on;
    proxy_timeout 6h;
    proxy_pass $target;
  }
}
`,
  );
  const command = ["nginx", "-p", directory, "-c", file];
  return await startPeer({
    name: "nginx",
    command,
    at: port,
    logFile: join(directory, "out.log"),
    core: CHAIN_CORE,
  });
}
