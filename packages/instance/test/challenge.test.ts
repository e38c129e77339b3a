import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { bearerChallenge } from "../src/protected-resource/challenge.ts";
import { parseChallenge } from "./support/protected-host.ts";

const METADATA = "https://app.example/.well-known/oauth-protected-resource/mcp";

describe("WWW-Authenticate (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9728 section 5.1)", () => {
  test("one Bearer challenge, each parameter once and quoted", () => {
    expect(
      bearerChallenge({
        error: "insufficient_scope",
        description: "This needs the scope admin",
        scopes: ["admin", "mcp"],
        metadataUrl: METADATA,
      }),
    ).toBe(
      `Bearer error="insufficient_scope", error_description="This needs the scope admin", scope="admin mcp", resource_metadata="${METADATA}"`,
    );
  });

  test("no code and no scope where there is none", () => {
    expect(bearerChallenge({ scopes: [], metadataUrl: METADATA })).toBe(
      `Bearer resource_metadata="${METADATA}"`,
    );
  });

  test("no text can end its string, the challenge or the field", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.array(fc.string({ unit: "binary" })),
        (description, scopes) => {
          const challenge = bearerChallenge({
            error: "invalid_token",
            description,
            scopes,
            metadataUrl: METADATA,
          });
          expect(challenge).toMatch(/^[\u0020-\u007e]*$/);
          const { scheme, parameters } = parseChallenge(challenge);
          expect(scheme).toBe("Bearer");
          expect(Object.keys(parameters)).toEqual(
            scopes.length > 0
              ? ["error", "error_description", "scope", "resource_metadata"]
              : ["error", "error_description", "resource_metadata"],
          );
        },
      ),
    );
  });
});
