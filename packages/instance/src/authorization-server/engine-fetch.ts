import { Provider } from "oidc-provider";
import type { DocumentFetcher } from "./document-fetch.ts";
import { EngineRequest } from "./engine-exchange.ts";

/**
 * Says whether the engine may ask for a client's metadata document. It is asked for once in a request, and counted for its peer; a
 * peer that had too many gets it as it was. So does what is no request of a client: its consent page.
 */
export function mayFetchDocument(documents: DocumentFetcher, request: unknown, clientId: string): boolean {
  const isKept = documents.keptDocument(clientId) !== undefined;
  if (!(request instanceof EngineRequest)) return isKept;
  if (request.documents.has(clientId) || !documents.isFetchable(clientId)) return false;
  const wait = documents.take(request.trace.ip ?? "");
  request.documents.set(clientId, wait > 0 ? "kept" : "fetched");
  if (wait > 0 && !isKept) request.fetchWaitMs = wait;
  return wait === 0 || isKept;
}

/** Fetches for the engine: a document that it may ask for, or the key set of a client. */
export async function engineFetch(
  documents: DocumentFetcher,
  url: string,
  signal: AbortSignal | null | undefined,
): Promise<Response> {
  const request: unknown = Provider.ctx?.req;
  const source = request instanceof EngineRequest ? request.documents.get(url) : "kept";
  if (source === "fetched") return await documents.document(url, signal);
  const kept = source === "kept" ? documents.keptDocument(url) : documents.keptKeySet(url);
  if (kept !== undefined) return kept;
  if (!(request instanceof EngineRequest) || source === "kept") throw new TypeError("no longer kept");
  const wait = documents.take(request.trace.ip ?? "");
  if (wait === 0) return await documents.keySet(url, signal);
  request.fetchWaitMs = wait;
  throw new Error("too many fetches in this minute");
}
