import { IdentityProviderError } from "./identity-provider.ts";

export interface ProviderHttpOptions {
  /** Stands in for Node's own `fetch` where a private authority signs the provider's certificate. */
  readonly fetch?: typeof globalThis.fetch;
  /** Milliseconds for a whole exchange, body included. Default 10,000: a person is waiting. */
  readonly timeoutMs?: number;
}

export interface ProviderAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined when the body is no JSON. */
  readonly json: unknown;
}

const TIMEOUT_MS = 10_000;
/** A page of a hundred teams is some 300 KiB. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;

/** Requests to an identity provider: JSON, bounded in time and size, never redirected with the credentials they carry. */
export class ProviderHttp {
  readonly #fetch: typeof globalThis.fetch;
  readonly #timeoutMs: number;

  constructor({ fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS }: ProviderHttpOptions = {}) {
    this.#fetch = fetch;
    this.#timeoutMs = timeoutMs;
  }

  /** Returns the answer whatever its status below 500. @throws {IdentityProviderError} `unavailable` when there is none. */
  async request(url: string | URL, init: RequestInit = {}): Promise<ProviderAnswer> {
    const { pathname } = new URL(url);
    try {
      const response = await this.#fetch(url, {
        ...init,
        redirect: "manual",
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      const text = await readText(response);
      if (response.status >= 500) throw unavailable(`${pathname} answered ${response.status}`);
      return { status: response.status, headers: response.headers, json: parseJson(text) };
    } catch (error) {
      if (error instanceof IdentityProviderError) throw error;
      throw unavailable(`${pathname}: ${reason(error)}`, error);
    }
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw unavailable(`the answer has over ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a page for people: the status says enough
  }
}

function unavailable(message: string, cause?: unknown): IdentityProviderError {
  return new IdentityProviderError("unavailable", message, { cause });
}

/**
 * `fetch failed` says nothing; the code of its cause does. Messages are not repeated: a header that can't be sent is quoted in them, and
 * that is where the credentials are.
 */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return "no error";
  const { cause } = error;
  const last = cause instanceof Error ? cause : error;
  const { code } = last as NodeJS.ErrnoException;
  return typeof code === "string" ? code : last.name;
}
