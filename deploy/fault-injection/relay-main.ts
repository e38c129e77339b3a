// `relay-main.ts ADDRESS:PORT TO`: a relay, to be run on another machine; TO is an address with a port, or the path of a socket.
import { startRelay } from "../test/support/relay.ts";

const [from = "", to = ""] = process.argv.slice(2);
const { hostname: address, port } = new URL(`tcp://${from}`);
const target = to.startsWith("/") ? { path: to } : new URL(`tcp://${to}`);
const place = "path" in target ? target : { host: target.hostname, port: Number(target.port) };
await startRelay(address, place, { port: Number(port) });
