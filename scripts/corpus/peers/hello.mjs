// node hello.mjs PORT OPTIONS once|twice: connects with node:tls, and once more with the session it was given.
import tls from "node:tls";

const [port, options, times] = process.argv.slice(2);

function visit(session) {
  const socket = tls.connect({
    ...JSON.parse(options),
    session,
    host: "127.0.0.1",
    port: Number(port),
    rejectUnauthorized: false,
  });
  socket.on("error", () => {}); // the server knows no such protocol, perhaps; the hello is out
  socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nHost: corpus\r\n\r\n"));
  socket.resume();
  if (session !== undefined || times === "once") return;
  socket.once("session", (given) => visit(given));
}

visit(undefined);
