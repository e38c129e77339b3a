// Asks for one URL with what Node ships, and prints the answer as JSON. Plain JavaScript: it runs on whichever Node is the peer.
// Usage: node-peer.mjs '{"protocol":"h2","address":"::1","hostname":"…","port":1,"path":"/","caPath":"…"}'
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { get } from "node:https";

const target = JSON.parse(process.argv[2]);
const tls = { ca: readFileSync(target.caPath), servername: target.hostname, host: target.address };
const authority = `${target.hostname}:${target.port}`;

async function collect(stream) {
  stream.setEncoding("utf8");
  let body = "";
  for await (const text of stream) body += text;
  return body;
}

async function overHttp1() {
  const options = {
    ...tls,
    port: target.port,
    path: target.path,
    headers: { host: authority },
    agent: false,
  };
  const response = await new Promise((resolve, reject) => get(options, resolve).on("error", reject));
  return {
    protocol: `http/${response.httpVersion}`,
    status: response.statusCode,
    body: await collect(response),
  };
}

async function overHttp2() {
  const session = connect(`https://${authority}`, tls);
  const stream = session.request({ ":path": target.path });
  const headers = await new Promise((resolve, reject) => {
    session.on("error", reject);
    stream.on("response", resolve).on("error", reject);
  });
  const body = await collect(stream);
  const protocol = session.alpnProtocol;
  session.close();
  return { protocol, status: headers[":status"], body };
}

const answer = target.protocol === "h2" ? await overHttp2() : await overHttp1();
process.stdout.write(JSON.stringify(answer));
