import * as acme from "acme-client";
import type { AcmeTransport } from "./transport.ts";

/*
 * The one place that loads the library: 38 MiB and half a second of work, for some seconds of use every two months. Only the thread
 * of an order imports this file; both go with the thread.
 */

/** Puts the requests of the library in this thread on a transport: its HTTP client is one for all of its clients. */
export function useTransport(transport: AcmeTransport): void {
  // One that resolves whatever the status is never gets to the library's retries, which sleep as long as the server says.
  acme.axios.defaults.adapter = async (config) => {
    const { url = "", method = "get", data } = config;
    const { status, headers, text } = await transport.request({
      url,
      method,
      headers: { "content-type": "application/jose+json" },
      body: typeof data === "string" ? data : undefined,
    });
    return { data: text, status, statusText: "", headers, config };
  };
}

export { Client as AcmeClient, crypto as acmeCrypto } from "acme-client";
