/** One request as every reader of HTTP/1.1 reads it. */
export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  /** Names as spelt, with their values, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Octets as Latin-1, chunks joined. */
  readonly body: string;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const REQUEST_LINE = /^([A-Z-]+) ([\u0021-\u007e\u0080-\u00ff]+) HTTP\/1\.1$/;
/** Name, colon, one space, a value without controls that neither begins nor ends with white space. */
const FIELD_LINE =
  /^([^:]*): ((?:[^\u0000-\u0020\u007f](?:[^\u0000-\u0008\u000a-\u001f\u007f]*[^\u0000-\u0020\u007f])?)?)$/;

/**
 * Reads requests off a connection to an upstream, and throws at whatever two readers could understand in two ways: bare CR or LF, NUL,
 * folded lines, white space around a name, two lengths, a length beside chunks, a coding but `chunked`, chunk extensions,
 * trailers, anything but one Host. So what it returns is the one reading there is (RFC 9112 sections 2.2, 5.1, 5.2, 6.3, 7.1).
 */
export class StrictReader {
  #rest = "";

  /** Returns the requests that are complete now. @throws {Error} at a second reading */
  push(octets: Buffer): ReadRequest[] {
    this.#rest += octets.toString("latin1");
    const requests: ReadRequest[] = [];
    for (let request = this.#take(); request !== undefined; request = this.#take()) requests.push(request);
    return requests;
  }

  /** True when the connection stands between two requests. */
  get isAtBoundary(): boolean {
    return this.#rest === "";
  }

  #take(): ReadRequest | undefined {
    const end = this.#rest.indexOf("\r\n\r\n");
    if (end === -1) return undefined;
    const [line = "", ...lines] = this.#rest.slice(0, end).split("\r\n");
    const [, method, target] = REQUEST_LINE.exec(line) ?? fail(`request line ${JSON.stringify(line)}`);
    if (method === undefined || target === undefined) return undefined;
    const fields = lines.map((text): [string, string] => {
      const [, name = "", value = ""] = FIELD_LINE.exec(text) ?? fail(`field ${JSON.stringify(text)}`);
      return TOKEN.test(name) ? [name, value] : fail(`name ${JSON.stringify(name)}`);
    });
    const read = this.#body(fields, end + 4);
    if (read === undefined) return undefined;
    this.#rest = this.#rest.slice(read.end);
    return { method, target, fields, body: read.body };
  }

  #body(
    fields: readonly (readonly [string, string])[],
    start: number,
  ): { body: string; end: number } | undefined {
    const values = (wanted: string): string[] =>
      fields
        .filter(([name]) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "-") === wanted)
        .map(([, value]) => value);
    const [lengths, codings] = [values("content-length"), values("transfer-encoding")];
    if (values("host").length !== 1) fail("other than one Host");
    if (lengths.length + codings.length > 1) fail("two framings");
    if (codings.length === 1)
      return codings[0] === "chunked" ? this.#chunks(start) : fail(`coding ${codings[0]}`);
    const [length = "0"] = lengths;
    if (!/^\d+$/.test(length)) fail(`length ${length}`);
    const end = start + Number(length);
    return this.#rest.length < end ? undefined : { body: this.#rest.slice(start, end), end };
  }

  #chunks(start: number): { body: string; end: number } | undefined {
    let body = "";
    for (let at = start; ;) {
      const lineEnd = this.#rest.indexOf("\r\n", at);
      if (lineEnd === -1) return undefined;
      const line = this.#rest.slice(at, lineEnd);
      if (!/^[0-9a-fA-F]{1,8}$/.test(line)) fail(`chunk ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      const end = lineEnd + 2 + size + 2;
      if (this.#rest.length < end) return undefined;
      if (this.#rest.slice(end - 2, end) !== "\r\n") fail(size === 0 ? "trailers" : "chunk without its end");
      body += this.#rest.slice(lineEnd + 2, end - 2);
      at = end;
      if (size === 0) return { body, end: at };
    }
  }
}

function fail(what: string): never {
  throw new Error(`a second reading: ${what}`);
}
