// `node bare-node.mjs PORT CERTIFICATE KEY`: the least that a Node process with one https server can be.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [, , port, certificate, key] = process.argv;
const options = { cert: readFileSync(certificate), key: readFileSync(key) };
createServer(options, (_request, response) => response.end("hello\n")).listen(Number(port), "127.0.0.1");
