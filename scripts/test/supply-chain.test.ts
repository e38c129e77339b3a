import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { licenceProblems } from "../supply-chain/licences.ts";
import { deprecated, versionsOf } from "../supply-chain/registry.ts";

const ROOT = join(import.meta.dirname, "../..");
const MANIFESTS = [".", "scripts", "scripts/testbed", "deploy", ...packages()].map((place) =>
  join(ROOT, place, "package.json"),
);

function packages(): string[] {
  return readdirSync(join(ROOT, "packages")).map((name) => `packages/${name}`);
}

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

function directDependencies(): readonly string[] {
  const names = MANIFESTS.flatMap((path) => {
    const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
  });
  return [...new Set(names)].filter((name) => !name.startsWith("@gatehouse/"));
}

function listing(licence: string, name = "some-package") {
  return { [licence]: [{ name, versions: ["1.0.0"] }] };
}

test("every dependency has its line in the ADR that says why", () => {
  const adr = readFileSync(join(ROOT, "docs/adr/0008-dependencies.md"), "utf8");
  const named = new Set(adr.match(/@?[\w-]+(?:\/(?:[\w-]+|\*))?/g));
  const missing = directDependencies().filter(
    (name) => !named.has(name) && !named.has(name.replace(/\/.*$/, "/*")),
  );
  expect(missing).toEqual([]);
});

describe("licences", () => {
  test.each(["MIT", "(BSD-3-Clause OR GPL-2.0)", "Apache-2.0 AND MIT", "(MIT OR CC0-1.0)"])(
    "%s may be delivered",
    (licence) => expect(licenceProblems(listing(licence), "delivered")).toEqual([]),
  );

  test.each(["GPL-3.0", "MIT AND GPL-2.0", "Unknown", "SEE LICENSE IN x", "CC-BY-4.0", ""])(
    "%p may not",
    (licence) => {
      expect(licenceProblems(listing(licence), "delivered")).toEqual([`some-package 1.0.0: ${licence}`]);
    },
  );

  test("a table of data may be used by a tool", () => {
    expect(licenceProblems(listing("CC-BY-4.0"), "tools")).toEqual([]);
  });
});

describe("what a registry says of versions", () => {
  async function ask(answers: Readonly<Record<string, { status?: number; body?: unknown }>>) {
    const server = createServer((request, response) => {
      const { status = 200, body = {} } = answers[request.url ?? ""] ?? { status: 404 };
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const versions = versionsOf({
      MIT: [
        { name: "plain", versions: ["1.0.0", "2.0.0"] },
        { name: "@scope/one", versions: ["3.0.0"] },
      ],
    });
    return await deprecated(registry, versions).finally(() => server.close().closeAllConnections());
  }

  test("nothing, when all are well", async () => {
    const body = { version: "x" };
    const all = { "/plain/1.0.0": { body }, "/plain/2.0.0": { body }, "/@scope%2fone/3.0.0": { body } };
    expect(await ask(all)).toEqual([]);
  });

  test("that one is withdrawn, and that one is gone", async () => {
    const found = await ask({
      "/plain/1.0.0": { body: { deprecated: "use 2" } },
      "/plain/2.0.0": { body: { deprecated: "" } },
    });
    expect(found).toEqual([
      "@scope/one 3.0.0: the registry doesn't have this version any more",
      "plain 1.0.0: use 2",
    ]);
  });

  test("a registry that fails has said nothing", async () => {
    await expect(ask({ "/plain/1.0.0": { status: 500 } })).rejects.toThrow("the registry answered 500");
  });
});
