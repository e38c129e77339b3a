/**
 * Returns whether a client is its metadata document, whose URL is the client id (draft-ietf-oauth-client-id-metadata-document). Ids
 * are compared as text, so the scheme has one spelling: `HTTPS://` names nobody.
 */
export function isDocumentClientId(clientId: string): boolean {
  return clientId.startsWith("https://");
}
