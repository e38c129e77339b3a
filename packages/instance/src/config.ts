import {
  adminListenOption,
  logLevelOption,
  publicPortOption,
  recordOptions,
  redisUrlOption,
  stateDirOption,
} from "@gatehouse/shared/common-options";
import { parseListenAddress } from "@gatehouse/shared/listen-address";
import {
  addressListOption,
  hostnameOption,
  integerOption,
  optional,
  splitList,
  textOption,
  type ConfigOf,
} from "@gatehouse/shared/read-config";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { telemetryOptions } from "@gatehouse/shared/telemetry-options";
import { ACME_OPTIONS } from "./acme-options.ts";
import { FORWARD_OPTIONS } from "./forward-limits.ts";
import { OAUTH_OPTIONS } from "./oauth-options.ts";

const absolutePath = (text: string): string | undefined => (text.startsWith("/") ? text : undefined);
const KEY_FORM = "32 random octets in base64url (43 characters), or a key made for this hostname";

/** Every option of an instance. The README table and `deploy/env` are printed from this. */
export const instanceOptions = {
  hostname: hostnameOption({
    env: "GATEHOUSE_HOSTNAME",
    describe: "The one name this process serves: its certificate, its host config, its route.",
  }),
  redisUrl: redisUrlOption,
  secretKey: textOption({
    env: "GATEHOUSE_SECRET_KEY",
    describe: "Seals what is stored, and makes session tickets. Instances of one hostname share it.",
    expected: KEY_FORM,
    secret: true,
    parse: (text) => (SealingKeys.parse(text, []) === undefined ? undefined : text),
  }),
  oldSecretKeys: textOption({
    env: "GATEHOUSE_SECRET_KEYS_OLD",
    describe: "Former secret keys, comma separated: they still open what they sealed.",
    expected: `each ${KEY_FORM}`,
    fallback: "",
    secret: true,
    parse: (text) => {
      const keys = splitList(text);
      return keys.every((key) => SealingKeys.parse(key, []) !== undefined) ? keys : undefined;
    },
  }),
  stateDir: stateDirOption(
    "Directory for the sealed snapshot that serves a restart while Redis is away. Without it there is no snapshot.",
  ),
  publicPort: publicPortOption,
  listen: optional(
    textOption({
      env: "GATEHOUSE_INSTANCE_LISTEN",
      describe:
        "Address for connections from the dispatcher, such as 13001 (loopback) or unix:/path. Not set: the port or socket in this hostname's own route. Inherited descriptors (LISTEN_FDS) come first.",
      expected: "an address with a port, or unix:/path",
      parse: parseListenAddress,
    }),
  ),
  proxyFrom: addressListOption({
    env: "GATEHOUSE_PROXY_FROM",
    describe:
      "Senders whose PROXY header is believed: all others are cut off. Who may connect to a unix socket is told by its file permission.",
    fallback: "127.0.0.0/8,::1",
  }),
  proxyTimeoutMs: integerOption({
    env: "GATEHOUSE_PROXY_TIMEOUT_MS",
    describe: "Milliseconds from accept to the end of the PROXY header, however the bytes trickle in.",
    min: 10,
    max: 60_000,
    fallback: 5000,
  }),
  handshakeTimeoutMs: integerOption({
    env: "GATEHOUSE_TLS_HANDSHAKE_TIMEOUT_MS",
    describe: "Milliseconds from the PROXY header to the end of the TLS handshake.",
    min: 10,
    max: 60_000,
    fallback: 5000,
  }),
  headersTimeoutMs: integerOption({
    env: "GATEHOUSE_HEADERS_TIMEOUT_MS",
    describe: "Milliseconds that the header of a request may take to arrive (408 afterwards).",
    min: 100,
    max: 600_000,
    fallback: 15_000,
  }),
  idleTimeoutMs: integerOption({
    env: "GATEHOUSE_KEEPALIVE_TIMEOUT_MS",
    describe: "Milliseconds that a connection may stay open without a request. Open streams are never idle.",
    min: 100,
    max: 3_600_000,
    fallback: 75_000,
  }),
  refusedIdleTimeoutMs: integerOption({
    env: "GATEHOUSE_REFUSED_KEEPALIVE_TIMEOUT_MS",
    describe:
      "The same for a connection on which nothing but refusals (4xx, 5xx) was ever answered: it holds a place and shows nothing for it.",
    min: 100,
    max: 3_600_000,
    fallback: 10_000,
  }),
  maxConnections: optional(
    integerOption({
      env: "GATEHOUSE_INSTANCE_MAX_CONNECTIONS",
      describe:
        "Connections open at once. One more takes the place of that which has waited longest with its first request, or is closed. Not set: what the process's descriptor limit allows, two per connection.",
      min: 1,
      max: 1_000_000,
      fallback: 1,
    }),
  ),
  maxHeaderBytes: integerOption({
    env: "GATEHOUSE_MAX_HEADER_BYTES",
    describe: "Longest request header in octets, target included (431 above it).",
    min: 4096,
    max: 1_048_576,
    fallback: 32_768,
  }),
  certificateFile: optional(
    textOption({
      env: "GATEHOUSE_CERTIFICATE_FILE",
      describe:
        "PEM file with the certificate chain, for `certificate: file`; read again when it changes and on HUP.",
      expected: "an absolute path",
      parse: absolutePath,
    }),
  ),
  certificateKeyFile: optional(
    textOption({
      env: "GATEHOUSE_CERTIFICATE_KEY_FILE",
      describe: "PEM file with the private key of GATEHOUSE_CERTIFICATE_FILE.",
      expected: "an absolute path",
      parse: absolutePath,
    }),
  ),
  ...ACME_OPTIONS,
  ...FORWARD_OPTIONS,
  ...OAUTH_OPTIONS,
  drainSeconds: integerOption({
    env: "GATEHOUSE_INSTANCE_DRAIN_SECONDS",
    describe: "Seconds that requests and streams may go on after TERM; then streams are ended.",
    min: 0,
    max: 2_592_000,
    fallback: 30,
  }),
  adminListen: adminListenOption(
    "GATEHOUSE_INSTANCE_ADMIN_LISTEN",
    "Address for /health and /metrics, such as 9201 (loopback) or unix:/path. Not set: off.",
  ),
  logLevel: logLevelOption,
  ...recordOptions,
  ...telemetryOptions,
};

export type InstanceConfig = ConfigOf<typeof instanceOptions>;
