import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { startPrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";

test("over TLS, with a user: every server's certificate is checked by the address that it is known by", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-cluster-tls-"));
  const authority = await createCertificateAuthority(directory);
  const { certPath, keyPath } = await authority.issue(["127.0.0.1"], { isForClients: true });
  const { caPath } = authority;
  const safe = await startPrivateRedisCluster({ tls: { certPath, keyPath, caPath } });
  const url = safe.url.replace("://", "://gate:p%40ss@");
  const client = join(import.meta.dirname, "support/cluster-follower-process.ts");
  try {
    for (const operator of safe.operators) {
      await operator.call("ACL", "SETUSER", "gate", "on", ">p@ss", "~*", "&*", "+@all");
    }
    const follow = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const child = spawn(process.execPath, ["--conditions=source", client, url], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      for await (const part of child.stdout) said += String(part);
      return said;
    };
    // An authority is trusted by the environment of the process, so that this one is another.
    expect(await follow({ NODE_EXTRA_CA_CERTS: authority.caPath })).toBe("armed\nroute:b.example\n");
    expect(await follow({})).toMatch(/^lost: .*(?:certificate|self-signed)/);
  } finally {
    await safe.stop();
    await rm(directory, { recursive: true, force: true });
  }
}, 60_000);
