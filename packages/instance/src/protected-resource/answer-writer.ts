import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { toFieldMap } from "../field-map.ts";
import type { Request, Response } from "../refusal.ts";
import { discard } from "../request-body.ts";
import type { Answer } from "./answer.ts";

/** Sends an answer as the whole response; a body that still comes is read and dropped, so that the peer gets to read the answer. */
export function sendAnswer(request: Request, response: Response, answer: Answer): void {
  for (const [name, value] of Object.entries(toFieldMap(wholeFields(answer))))
    response.setHeader(name, value);
  response.statusCode = answer.status;
  response.end(request.method === "HEAD" ? "" : answer.body);
  if (!request.readableEnded && !request.destroyed) discard(request);
}

/** The same on a socket that Node's server has let go of at an upgrade; the connection ends with it. */
export function sendAnswerOnSocket(socket: Duplex, answer: Answer): void {
  const fields = [...wholeFields(answer), "Connection", "close"];
  let head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  if (socket.writable) socket.end(`${head}\r\n${answer.body}`, () => socket.destroy());
  else socket.destroy();
}

/** A 204 has no length (RFC 9110 section 8.6). */
function wholeFields({ status, fields, body }: Answer): string[] {
  const flat = fields.flat();
  return status === 204 ? flat : [...flat, "Content-Length", String(Buffer.byteLength(body))];
}
