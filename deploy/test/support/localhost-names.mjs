// Preloaded by clients that run as processes: `*.localhost` is this machine (RFC 6761 section 6.3), but not every resolver knows.
import dns from "node:dns";

const { lookup } = dns;

dns.lookup = (name, options, callback) => {
  const answer = callback ?? options;
  if (!name.endsWith(".localhost")) {
    lookup(name, options, callback);
    return;
  }
  if (options.all) process.nextTick(answer, null, [{ address: "127.0.0.1", family: 4 }]);
  else process.nextTick(answer, null, "127.0.0.1", 4);
};
