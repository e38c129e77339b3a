import { Agent, request } from "undici";
import * as z from "zod";

/** From the request to the end of its answer; authorities under load take seconds. */
const ANSWER_TIMEOUT_MS = 30_000;
/** A certificate chain has some kilobytes. */
const MAX_ANSWER_BYTES = 1_048_576;
/** Longest wait an authority can impose by Retry-After: what it asks for beyond is looked at again by then. */
const MAX_RETRY_AFTER_MS = 86_400_000;
/** RFC 8555 section 6.1 wants one that names the client. */
const USER_AGENT = "gatehouse (acme-client)";

/** What an authority says when it refuses (RFC 7807, RFC 8555 section 6.7). */
export const acmeProblemSchema = z.object({
  /** Such as `urn:ietf:params:acme:error:rateLimited`. */
  type: z.string().default("about:blank"),
  detail: z.string().default(""),
});

export type AcmeProblem = z.infer<typeof acmeProblemSchema>;

export interface AcmeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface AcmeRequest {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface AcmeTransportOptions {
  /** PEM roots of the authority's own certificate; undefined: the public ones. */
  readonly roots: string | undefined;
  /** Ends what is under way. */
  readonly signal?: AbortSignal;
}

/**
 * HTTPS to a certificate authority: no proxies, no redirects, answers bounded in time and size. Redirects and plain HTTP are refused
 * because a directory is trusted by its URL (RFC 8555 section 6.1).
 */
export class AcmeTransport {
  readonly #signal: AbortSignal | undefined;
  readonly #agent: Agent;
  #problem: AcmeProblem | undefined;
  #retryAfterMs: number | undefined;

  constructor({ roots, signal }: AcmeTransportOptions) {
    this.#signal = signal;
    this.#agent = new Agent({ connect: roots === undefined ? {} : { ca: roots } });
  }

  /** What the last refusing answer said; undefined when none was refused. */
  get problem(): AcmeProblem | undefined {
    return this.#problem;
  }

  /** What the last answer asked to wait, milliseconds; undefined when it did not. */
  get retryAfterMs(): number | undefined {
    return this.#retryAfterMs;
  }

  /** @throws {Error} when there is no whole answer; any status is an answer */
  async request({ url, method = "GET", headers = {}, body }: AcmeRequest): Promise<AcmeAnswer> {
    if (URL.parse(url)?.protocol !== "https:") throw new Error(`not an https URL: ${url}`);
    const deadline = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const signal = this.#signal ? AbortSignal.any([this.#signal, deadline]) : deadline;
    const response = await request(url, {
      method: method.toUpperCase(),
      headers: { ...headers, "user-agent": USER_AGENT },
      body: body ?? null,
      dispatcher: this.#agent,
      signal,
    });
    let text = "";
    for await (const chunk of response.body.setEncoding("utf8")) {
      text += String(chunk);
      if (text.length > MAX_ANSWER_BYTES)
        throw new Error(`an answer is over ${MAX_ANSWER_BYTES} octets: ${url}`);
    }
    const answer = { status: response.statusCode, headers: flat(response.headers), text };
    this.#retryAfterMs = retryAfterMs(answer.headers["retry-after"]);
    if (answer.status >= 400) this.#problem = problemOf(answer);
    return answer;
  }

  /** Reads a JSON document. @throws {Error} for everything but a 200 with JSON in it */
  async getJson(url: string): Promise<unknown> {
    const { status, text } = await this.request({ url, headers: { accept: "application/json" } });
    if (status !== 200) throw new Error(`${status} from ${url}`);
    return JSON.parse(text);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

function flat(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value = ""]) => [name, String(value)] as const);
  return Object.fromEntries(entries);
}

function problemOf({ status, text }: AcmeAnswer): AcmeProblem {
  try {
    return acmeProblemSchema.parse(JSON.parse(text));
  } catch {
    return { type: String(status), detail: "" };
  }
}

/** Seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return milliseconds > 0 ? Math.min(milliseconds, MAX_RETRY_AFTER_MS) : undefined;
}
