import type { Hostname } from "@gatehouse/shared/hostname";
import { checkKeyPair, storedCertificateText, type Certificate } from "@gatehouse/shared/certificate";
import { certificateKey, hostConfigKey } from "@gatehouse/shared/redis-keys";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { parseStoredCertificate } from "@gatehouse/shared/stored-certificate";
import { readText } from "@gatehouse/shared/stored-text";
import { certificateOf, everyCertificate, type CertificateFacts } from "../certificates/certificate-facts.ts";
import { hostnameOf } from "../hosts/host-words.ts";
import { answer, remark, table } from "./answer.ts";
import { certRenew } from "./certificate-renew.ts";
import { UsageError, type Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";
import { givenFile } from "./given-file.ts";
import { sealingKeysFor } from "./secret-keys.ts";

const certShow = defineCommand<"all" | "file">({
  name: "cert show",
  words: ["[HOST]"],
  summary: "a host's certificate, or all: issuer, names, days left",
  options: {
    all: { describe: "of every host, a line each" },
    file: { value: "FILE", describe: "the file that the instance was given (GATEHOUSE_CERTIFICATE_FILE)" },
  },
  about:
    "Shows the certificate that is stored for a host, and what is wrong with it. Private keys are never read.",
  examples: ["gatehouse cert show simple.example.com", "gatehouse cert show --all"],
  async run(input) {
    const [word] = input.words;
    const file = input.text("file");
    const isAll = input.isGiven("all");
    if ((word === undefined) !== isAll || (isAll && file !== undefined))
      throw new UsageError("cert show: either a hostname, or --all");
    const now = Date.now();
    if (word === undefined) {
      const found = await withStore(input.env, async (redis) => await everyCertificate(redis, now));
      answer(input.isJson, found, certificateTable(found));
      return;
    }
    const hostname = hostnameOf(word);
    const where = { now, ...(file === undefined ? {} : { file: { path: file, pem: givenFile(file) } }) };
    const facts = await withStore(input.env, async (redis) => await certificateOf(redis, hostname, where));
    if (facts.found === null) throw new Error(`there is no certificate of ${hostname}: ${facts.problem}`);
    answer(input.isJson, facts, described(facts));
  },
});

const certImport = defineCommand<"chain" | "key">({
  name: "cert import",
  words: ["HOST"],
  summary: "store a certificate that was issued elsewhere",
  options: {
    chain: { value: "FILE", describe: "PEM, leaf first" },
    key: { value: "FILE", describe: "PEM, without passphrase" },
  },
  about: `Checks that the key is that of the certificate, that it names the host and has not expired, seals the key with GATEHOUSE_SECRET_KEY (or
its _FILE form, as the instances have it) and stores both. The running instance takes it for the next handshake.`,
  examples: ["gatehouse cert import simple.example.com --chain fullchain.pem --key privkey.pem"],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const pair = {
      chainPem: fileOf(input.text("chain"), "--chain"),
      keyPem: fileOf(input.text("key"), "--key"),
    };
    const keys = sealingKeysFor(hostname, input.env);
    const read = checkKeyPair(pair, hostname);
    if (read.kind !== "certificate") throw new Error(`the certificate can't be used: ${read.problem}`);
    const until = new Date(read.certificate.expiresAt).toISOString();
    if (read.certificate.expiresAt < Date.now())
      throw new Error(`the certificate can't be used: it expired at ${until}`);
    const isWritten = await withStore(input.env, async (redis) => {
      const before = await readText(redis, certificateKey(hostname));
      // Sealing makes another text of the same key each time, so the chain tells whether it is there already.
      const isSame =
        before !== null &&
        parseStoredCertificate(before)?.fullchain_pem === pair.chainPem &&
        isSealedSo(before);
      const config = await readText(redis, hostConfigKey(hostname));
      remarkMode(hostname, config);
      if (!isSame) await redis.set(certificateKey(hostname), textOf(read.certificate));
      return !isSame;
    });
    answer(
      input.isJson,
      { hostname, is_written: isWritten, not_after: until },
      `${hostname}: ${isWritten ? "stored" : "is stored already"}, good until ${until}`,
    );

    function textOf(certificate: Certificate): string {
      return storedCertificateText(certificate, "import", { hostname, keys });
    }
    function isSealedSo(text: string): boolean {
      const sealed = parseStoredCertificate(text)?.private_key ?? "";
      return keys.open(certificateKey(hostname), sealed)?.toString() === pair.keyPem;
    }
  },
});

/** `gatehouse cert …`. */
export const certificateCommands: readonly Command[] = [certShow, certImport, certRenew];

function fileOf(path: string | undefined, option: string): string {
  if (path === undefined) throw new UsageError(`cert import takes ${option} FILE`);
  return givenFile(path);
}

function remarkMode(hostname: Hostname, config: string | null): void {
  const parsed = config === null ? undefined : parseHostConfig(config);
  if (parsed === undefined) remark(`note: there is no host ${hostname} yet`);
  else if (parsed.ok && parsed.config.certificate === "file")
    remark(
      `note: ${hostname} takes its certificate from files: gatehouse host set ${hostname} --certificate stored`,
    );
}

function certificateTable(found: readonly CertificateFacts[]): string {
  const rows = found.map((facts) => [
    facts.hostname,
    facts.wanted ?? "",
    facts.found ?? "(none)",
    facts.not_after?.slice(0, 10) ?? "",
    facts.days_left === null ? "" : String(facts.days_left),
    facts.problem ?? "ok",
  ]);
  return table(["HOST", "WANTED", "FOUND", "UNTIL", "DAYS LEFT", "STATE"], rows);
}

function described(facts: CertificateFacts): string {
  return [
    `${facts.hostname}: ${facts.problem ?? "ok"}`,
    `  found:   ${facts.found} (the host config says ${facts.wanted ?? "nothing"})`,
    `  issuer:  ${facts.issuer}`,
    `  names:   ${facts.names.join(", ")}`,
    `  until:   ${facts.not_after}, ${facts.days_left} days left`,
  ].join("\n");
}
