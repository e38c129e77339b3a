import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostnameOf } from "../hosts/host-words.ts";
import { answer } from "./answer.ts";
import { defineCommand } from "./define-command.ts";
import { sealingKeysFor } from "./secret-keys.ts";

/** Where the units look (deploy/systemd/gatehouse-instance@.service). */
const HOST_CREDENTIALS = "/etc/gatehouse/credentials/hosts";

/** `gatehouse key derive HOST`: the key that an instance is given instead of the root key. */
export const keyDerive = defineCommand<"directory">({
  name: "key derive",
  words: ["HOST"],
  summary: "write the secret key of one host, made from the root key",
  options: {
    directory: {
      value: "DIR",
      describe: `below which a directory of the host is made (${HOST_CREDENTIALS})`,
    },
  },
  about: `Writes DIR/HOST/GATEHOUSE_SECRET_KEY and DIR/HOST/GATEHOUSE_SECRET_KEYS_OLD (mode 0600): keys that open what this host has sealed, and nothing of
another host. They follow from the root key, so what was sealed before stays readable, and the same files come out each time. Nothing is
printed of them. Needs GATEHOUSE_SECRET_KEY (or its _FILE form). The units call it: gatehouse-units enable instance HOST.`,
  examples: [
    "gatehouse key derive simple.example.com",
    "gatehouse key derive simple.example.com --directory ./secrets",
  ],
  isLocal: true,
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const { current, old } = sealingKeysFor(hostname, input.env).texts();
    const directory = join(input.text("directory") ?? HOST_CREDENTIALS, hostname);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeWhole(join(directory, "GATEHOUSE_SECRET_KEY"), current);
    await writeWhole(join(directory, "GATEHOUSE_SECRET_KEYS_OLD"), `${old.join(",")}\n`);
    answer(input.isJson, { hostname, directory }, `the keys of ${hostname} are in ${directory}`);
  },
});

/** One rename, so that a process that starts at this moment reads the former key or this one. */
async function writeWhole(path: string, content: string): Promise<void> {
  await writeFile(`${path}.partial`, content, { mode: 0o600 });
  await rename(`${path}.partial`, path);
}
