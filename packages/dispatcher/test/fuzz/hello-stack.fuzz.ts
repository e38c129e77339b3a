import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { expectSame, expectThat, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { ClientHelloReader, type HelloRead } from "../../src/client-hello.ts";
import { CORPUS_ENTRIES, flightOf } from "../support/corpus.ts";
import { alpn, extension, hello, serverName } from "../support/hello-bytes.ts";
import { canonicalName, inSevenBits, TlsStack, type StackView } from "../support/tls-stack.ts";
import { target as reader } from "./client-hello.fuzz.ts";

const HANDSHAKE = 22;

let stack: Promise<TlsStack> | undefined;

async function openStack(): Promise<TlsStack> {
  const directory = await mkdtemp(join(tmpdir(), "fuzz-"));
  const authority = await createCertificateAuthority(directory);
  const { certPem, keyPem } = await authority.issue(["a.example"]);
  await rm(directory, { recursive: true });
  return new TlsStack({ cert: certPem, key: keyPem });
}

/** Where we are stricter on purpose than a stack that goes on with the hello (docs/threat-model.md, P3). */
const STRICTER: readonly RegExp[] = [
  /^a server name of \d+ octets is no hostname/,
  /^\d+ octets follow the hello in its own record$/,
  /^more than 16 empty records$/,
  /^the hello is longer than/,
];

/** The safe directions of docs/threat-model.md, P3. */
function expectSafe(ours: HelloRead, theirs: StackView): void {
  const name = canonicalName(theirs.name);
  switch (ours.kind) {
    case "hello":
      // The stack may refuse before it has looked at the name; if it looked, it saw ours, and none where we report none.
      if (theirs.answer === HANDSHAKE || theirs.name !== undefined) expectSame("name", ours.serverName, name);
      if (theirs.answer === HANDSHAKE) expectSame("protocols", inSevenBits(ours.alpn), theirs.alpn);
      break;
    case "refused":
      if (theirs.answer !== HANDSHAKE) return;
      expectThat(
        `refused as the stack would not: ${ours.problem}`,
        STRICTER.some((reason) => reason.test(ours.problem)),
      );
      break;
    case "incomplete":
      expectThat("waits where the stack goes on", theirs.answer !== HANDSHAKE && theirs.name === undefined);
  }
}

/** A hello of TLS 1.2 that is short, so that most changes hit a length or the name, and good enough for a stack to go on. */
const SHORT = hello({
  sessionId: Buffer.alloc(0),
  extensions: [
    alpn("h2"),
    extension(10, Buffer.from("00020017", "hex")),
    serverName("a.example"),
    extension(13, Buffer.from("00020403", "hex")),
  ],
});

export const target: FuzzTarget = {
  ...reader,
  name: "hello-stack",
  seeds: [SHORT, ...CORPUS_ENTRIES.map(flightOf)],
  check: async (stream) => {
    stack ??= openStack();
    expectSafe(new ClientHelloReader().push(stream), await (await stack).see(stream));
  },
};
