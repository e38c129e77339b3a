// `node packages-node.mjs PORT CERTIFICATE KEY REDIS_SOCKET`: bare-node.mjs with the packages of an instance, each used once, and nothing
// of Gatehouse. Bundled as an instance is, it shows how much of its start is theirs.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Redis } from "ioredis";
import { Client } from "undici";
import { createLogger, transports } from "winston";
import * as z from "zod";

const [, , port, certificate, key, path] = process.argv;
const config = z.object({ port: z.coerce.number(), certificate: z.string(), key: z.string() });
const options = config.parse({ port, certificate, key });
const log = createLogger({ transports: [new transports.Console()] });
const redis = new Redis({ path });
await redis.get("host-config");
const upstream = new Client("http://127.0.0.1:1");
const tls = { cert: readFileSync(options.certificate), key: readFileSync(options.key) };
createServer(tls, (_request, response) => response.end("hello\n")).listen(options.port, "127.0.0.1");
log.info(`listening, upstream ${upstream.destroyed ? "gone" : "known"}`);
