import { Duplex } from "node:stream";
import tls from "node:tls";
import { parseHostname } from "@gatehouse/shared/hostname";

/** What a real TLS server made of a stream that then ended. */
export interface StackView {
  /** The type of the first record it answered with: 22 it goes on with this hello, 21 an alert; undefined when it said nothing. */
  readonly answer: number | undefined;
  /** The server name as its own parser read it, whatever it answered. */
  readonly name: string | undefined;
  readonly alpn: readonly string[];
}

/** Node's own TLS server, OpenSSL, without a socket: the octets go straight into it, about a thousand hellos a second. */
export class TlsStack {
  readonly #context: tls.SecureContext;

  constructor(credentials: { readonly cert: string; readonly key: string }) {
    this.#context = tls.createSecureContext({
      ...credentials,
      minVersion: "TLSv1",
      ciphers: "ALL:@SECLEVEL=0",
    });
  }

  /** Feeds the stream and then its end. Never rejects. */
  see(stream: Buffer): Promise<StackView> {
    return new Promise((resolve) => {
      let name: string | undefined;
      let alpn: readonly string[] = [];
      let answer: number | undefined;
      const settle = (): void => {
        resolve({ answer, name, alpn });
        server.destroy();
        raw.destroy();
      };
      const raw = new Duplex({
        read: () => {},
        write: (chunk: Buffer, _encoding, done) => {
          answer ??= chunk[0];
          done();
          settle();
        },
      });
      const server = new tls.TLSSocket(raw, {
        isServer: true,
        secureContext: this.#context,
        SNICallback: (asked, done) => {
          name = asked;
          done(null);
        },
        ALPNCallback: ({ protocols }) => {
          alpn = protocols;
          return protocols[0];
        },
      });
      server.on("error", settle).on("close", settle).on("end", settle);
      raw.push(stream);
      raw.push(null);
    });
  }
}

/** The name as the stack's parser read it, under the rules of ours; "bad" for one that ours refuses. */
export function canonicalName(name: string | undefined): string | undefined {
  const parsed = parseHostname(name ?? "");
  if (name === undefined || (!parsed.ok && parsed.problem === "ip_literal")) return undefined;
  return parsed.ok ? parsed.hostname : "bad";
}

/** Node's server decodes protocol names as ASCII, which drops the top bit of each octet; the reader keeps it. */
export function inSevenBits(names: readonly string[]): readonly string[] {
  return names.map((name) => Buffer.from(name, "latin1").toString("ascii"));
}
