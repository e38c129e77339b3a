import { BodyTooLarge, type HostContext } from "./endpoints.ts";

/** Octets of a form with two fields, generously. */
const MAX_FORM_BYTES = 4096;

/** Reads a form that a browser posted. @throws {BodyTooLarge} */
export async function readForm(c: HostContext): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let length = 0;
  // From Node's own stream, which must stay whole for the answer to get out when the form is too long.
  for await (const chunk of c.env.incoming.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_FORM_BYTES) throw new BodyTooLarge();
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
