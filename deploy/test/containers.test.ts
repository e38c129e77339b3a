/** What the container files say is held to what the processes know; the images themselves are built by whoever has a builder. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import { dispatcherOptions } from "@gatehouse/dispatcher/config";
import { instanceOptions } from "@gatehouse/instance/config";
import { readConfig } from "@gatehouse/shared/read-config";
import { parseRoute } from "@gatehouse/shared/route";
import { parseHostConfig } from "@gatehouse/shared/host-config";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const dockerfile = read("deploy/Dockerfile");
const compose = read("deploy/compose.yaml");

/** The variables of one service, or of one target, by name. */
function variables(text: string, pattern: RegExp): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(pattern)].map(([, name = "", value = ""]) => [name, value.trim()]),
  );
}

function targetEnv(target: string): Record<string, string> {
  const start = dockerfile.indexOf(` AS ${target}\n`);
  const end = dockerfile.indexOf("\nFROM ", start);
  const section = dockerfile.slice(start, end === -1 ? undefined : end);
  return variables(section, /\b((?:GATEHOUSE|REDIS|LOG)_[A-Z_]+)=([^\s\\]+)/g);
}

describe("the container files", () => {
  test("name only variables that the processes read", () => {
    const known = new Set(
      [...Object.values(dispatcherOptions), ...Object.values(instanceOptions)].flatMap(({ env, secret }) =>
        secret ? [env, `${env}_FILE`] : [env],
      ),
    );
    const named = [...`${dockerfile}\n${compose}`.matchAll(/\b((?:GATEHOUSE|REDIS|LOG)_[A-Z_]+)\s*[=:]/g)];
    expect(named.length).toBeGreaterThan(6);
    for (const [, name = ""] of named) expect([name, known.has(name)]).toEqual([name, true]);
  });

  test("give each process an environment that it can start with", () => {
    const service = (name: string): string =>
      compose.slice(compose.indexOf(`\n  ${name}:\n`)).split(/\n\n/, 1)[0] ?? "";
    const pairs = /^ +([A-Z_]+): (\S+)$/gm;
    const runtime = targetEnv("runtime");
    const dispatcher = { ...runtime, ...targetEnv("dispatcher"), ...variables(service("dispatcher"), pairs) };
    expect(readConfig(dispatcherOptions, dispatcher).listen).toEqual([
      { kind: "tcp", host: "0.0.0.0", port: 8443 },
    ]);
    const { GATEHOUSE_SECRET_KEY_FILE: secret, ...instance } = {
      ...runtime,
      ...targetEnv("instance"),
      ...variables(service("instance-one"), pairs),
    };
    expect(secret).toBe("/run/secrets/secret-key");
    const config = readConfig(instanceOptions, { ...instance, GATEHOUSE_SECRET_KEY: "A".repeat(43) });
    expect([config.hostname, config.listen]).toEqual([
      "one.example.com",
      { kind: "tcp", host: "0.0.0.0", port: 13_001 },
    ]);
    // The dispatcher's network is the one whose PROXY headers are believed.
    expect(compose).toContain(`subnet: ${config.proxyFrom.toString()}`);
  });

  test("write routes and host configs that are good", () => {
    const written = [...compose.matchAll(/SET (route|proxy):(\S+) (\S+) NX/g)];
    expect(written).toHaveLength(4);
    for (const [, kind, name, value = ""] of written) {
      const isGood = kind === "route" ? parseRoute(value).ok : parseHostConfig(value.replaceAll("'", "")).ok;
      expect([kind, name, isGood]).toEqual([kind, name, true]);
    }
  });

  test("build with the pnpm of the lockfile, run as nobody, and are asked for their health where it is answered", () => {
    const { packageManager } = JSON.parse(read("package.json")) as { packageManager: string };
    expect(dockerfile).toContain(`npm install --global ${packageManager}`);
    for (const target of ["dispatcher", "instance"] as const) {
      const section = dockerfile.slice(dockerfile.indexOf(` AS ${target}\n`));
      const command = JSON.stringify(["node", ...NODE_FLAGS[target], "dist/main.js"]).replaceAll(",", ", ");
      expect(section.split("\n").find((line) => line.startsWith("CMD"))).toBe(`CMD ${command}`);
      expect(section).toMatch(/^USER 10443$/m);
      const admin = /ADMIN_LISTEN=127\.0\.0\.1:(\d+)/.exec(section)?.[1];
      expect(section).toContain(`CMD ["node", "healthcheck.mjs", "${admin}"]`);
    }
  });
});
