import { ACME_CHALLENGE_TYPES } from "@gatehouse/shared/acme-challenge";
import { optional, textOption, wordOption, type ConfigOf } from "@gatehouse/shared/read-config";

/** One mailbox, which becomes a `mailto:` URL: nothing that would be a second one or a header there (RFC 8555 section 7.3). */
const MAILBOX = /^[^\s@,?&%]{1,64}@[^\s@,?&%]{1,255}$/;

/** What `certificate: acme` takes from the environment. */
export const ACME_OPTIONS = {
  acmeDirectoryUrl: textOption({
    env: "GATEHOUSE_ACME_DIRECTORY_URL",
    describe: "Directory of the certificate authority (ACME, RFC 8555), for `certificate: acme`.",
    expected: "an https URL",
    fallback: "https://acme-v02.api.letsencrypt.org/directory",
    parse: (text) => (URL.parse(text)?.protocol === "https:" ? text : undefined),
  }),
  acmeEmail: optional(
    textOption({
      env: "GATEHOUSE_ACME_EMAIL",
      describe:
        "Address that the authority writes to. Not set: no certificate is asked for, and a self-signed one stands in.",
      expected: "one mail address",
      parse: (text) => (MAILBOX.test(text) ? text : undefined),
    }),
  ),
  acmeTermsAgreed: wordOption({
    env: "GATEHOUSE_ACME_TERMS_AGREED",
    describe:
      "yes: you have read the authority's terms of service and agree. Without it nothing is asked for.",
    words: ["yes", "no"],
    fallback: "no",
  }),
  acmeChallenge: wordOption({
    env: "GATEHOUSE_ACME_CHALLENGE",
    describe:
      "How the authority checks the hostname: over port 443, or, where something in front of the dispatcher ends TLS, over its port 80 (GATEHOUSE_DISPATCHER_HTTP_LISTEN).",
    words: ACME_CHALLENGE_TYPES,
    fallback: "tls-alpn-01",
  }),
  acmeCaFile: optional(
    textOption({
      env: "GATEHOUSE_ACME_CA_FILE",
      describe:
        "PEM file with the roots that the directory's own certificate is checked against, for a private authority. Not set: the public ones.",
      expected: "an absolute path",
      parse: (text) => (text.startsWith("/") ? text : undefined),
    }),
  ),
};

export type AcmeConfig = ConfigOf<typeof ACME_OPTIONS>;
