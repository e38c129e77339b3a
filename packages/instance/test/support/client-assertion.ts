import { SignJWT, type CryptoKey } from "jose";

export interface ClientAssertion {
  readonly clientId: string;
  /** Issuer of the authorization server. */
  readonly audience: string;
  readonly kid: string;
  readonly jti: string;
  readonly privateKey: CryptoKey;
}

/** Returns the fields by which a client proves at `/token` that it has its key (RFC 7523 section 2.2). */
export async function clientAssertion(asked: ClientAssertion): Promise<Record<string, string>> {
  const { clientId, audience, kid, jti, privateKey } = asked;
  const assertion = await new SignJWT({ jti })
    .setProtectedHeader({ alg: "RS256", kid })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime("60s")
    .sign(privateKey);
  return {
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: assertion,
  };
}
