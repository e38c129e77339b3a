import { X509Certificate } from "node:crypto";
import * as z from "zod";
import { derParts, type DerValue } from "../der-values.ts";
import type { RenewalWindow } from "./renewal-time.ts";
import type { AcmeTransport } from "./transport.ts";

const HOUR_MS = 3_600_000;
/** RFC 9773 section 4.3.3: what is asked again after this when the authority does not say, and the bounds of what it may say. */
const ASKED_AGAIN_MS = 6 * HOUR_MS;
const SHORTEST_MS = 60_000;
const LONGEST_MS = 24 * HOUR_MS;

const directorySchema = z.object({ renewalInfo: z.url().optional() });
const renewalInfoSchema = z.object({
  suggestedWindow: z.object({ start: z.string(), end: z.string() }),
});

/** 2.5.29.35 (RFC 5280 section 4.2.1.1). */
const AUTHORITY_KEY_IDENTIFIER = "551d23";

export interface RenewalInfo {
  /** Undefined when the authority offers none. */
  readonly window: RenewalWindow | undefined;
  /** Milliseconds until it is asked again. */
  readonly askAgainMs: number;
}

/** Asks when a certificate should be renewed (RFC 9773). @throws {Error} when there is no usable answer */
export async function askRenewalInfo(
  transport: AcmeTransport,
  directoryUrl: string,
  leafPem: string,
): Promise<RenewalInfo> {
  const url = await renewalInfoUrl(transport, directoryUrl);
  const id = renewalIdentifier(leafPem);
  if (url === undefined || id === undefined) return { window: undefined, askAgainMs: LONGEST_MS };
  const { suggestedWindow } = renewalInfoSchema.parse(
    await transport.getJson(`${url.replace(/\/$/, "")}/${id}`),
  );
  const [start, end] = [Date.parse(suggestedWindow.start), Date.parse(suggestedWindow.end)];
  // RFC 9773 section 4.2: an end that is not after its start makes the whole answer worth nothing.
  if (!(end > start)) throw new Error("the renewal window ends before it starts");
  const askAgainMs = Math.min(Math.max(transport.retryAfterMs ?? ASKED_AGAIN_MS, SHORTEST_MS), LONGEST_MS);
  return { window: { start, end }, askAgainMs };
}

/** Where a directory tells about renewals; undefined when it does not. */
export async function renewalInfoUrl(
  transport: AcmeTransport,
  directoryUrl: string,
): Promise<string | undefined> {
  return directorySchema.parse(await transport.getJson(directoryUrl)).renewalInfo;
}

/** Names a certificate (RFC 9773 section 4.1): authority's key identifier and serial number; undefined when it lacks the former. */
export function renewalIdentifier(leafPem: string): string | undefined {
  // A sequence around everything; in it the signed content (RFC 5280 section 4.1): [0] version, serial number, … [3] extensions.
  const [certificate] = derParts({ tag: 0, content: new X509Certificate(leafPem).raw });
  const [content] = derParts(certificate);
  const fields = derParts(content);
  const [extensions] = derParts(fields.find(({ tag }) => tag === 0xa3));
  const serial = fields[1]?.content;
  const keyId = keyIdentifier(derParts(extensions));
  if (serial === undefined || keyId === undefined) return undefined;
  return `${keyId.toString("base64url")}.${serial.toString("base64url")}`;
}

/** RFC 5280 section 4.2.1.1: the sequence's member [0]. */
function keyIdentifier(extensions: readonly DerValue[]): Buffer | undefined {
  const extension = extensions.find(
    (each) => derParts(each)[0]?.content.toString("hex") === AUTHORITY_KEY_IDENTIFIER,
  );
  const [value] = derParts(derParts(extension).at(-1));
  return derParts(value).find(({ tag }) => tag === 0x80)?.content;
}
