import { once } from "node:events";
import { createServer } from "node:net";

/** Whether a listener may be opened there now; nobody is kept from taking it in the meantime. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true, ipv6Only: host.includes(":") });
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Returns `preferred` or the next port after it that is free on every one of `hosts`. @throws when 500 in a row are taken */
export async function freePort(hosts: readonly string[], preferred: number): Promise<number> {
  for (let port = preferred; port < preferred + 500; port++) {
    const answers = await Promise.all(hosts.map((host) => isFree(host, port)));
    if (answers.every(Boolean)) return port;
  }
  throw new Error(`no free port between ${preferred} and ${preferred + 499} on ${hosts.join(" and ")}`);
}
