// `relay-main.ts PORT ADDRESS:PORT`: a relay from loopback, to be run where that is another machine's.
import { startRelay } from "../test/support/relay.ts";

const [port = "", to = ""] = process.argv.slice(2);
const [, host = "", toPort = ""] = /^(.+):(\d+)$/.exec(to) ?? [];
await startRelay("127.0.0.1", { host, port: Number(toPort) }, { port: Number(port) });
