/** Code whose every branch keeps somebody out, and the tests that have to notice when one is changed. */
export interface MutatedModule {
  readonly name: string;
  readonly package: "shared" | "dispatcher" | "instance";
  /** Below the package. */
  readonly sources: readonly string[];
  /** Names of test files without `.test.ts`, below the package's `test`. */
  readonly tests: readonly string[];
}

export const MUTATED_MODULES: readonly MutatedModule[] = [
  {
    name: "proxy-header",
    package: "shared",
    sources: ["src/proxy-header.ts"],
    tests: ["proxy-header"],
  },
  {
    name: "proxy-trust",
    package: "instance",
    sources: ["src/receive.ts", "src/admission.ts"],
    tests: ["front-receive", "front-admission"],
  },
  {
    name: "token-check",
    package: "instance",
    sources: ["src/oauth/signed-token.ts", "src/oauth/seen-tokens.ts", "src/protected-resource/bearer.ts"],
    tests: ["token-check", "token-cache", "rfc9068-verification", "rfc6750-bearer", "revocation-live"],
  },
  {
    name: "redirect-uris",
    package: "instance",
    sources: ["src/oauth/redirect-uri.ts"],
    tests: ["redirect-uri"],
  },
  {
    name: "header-removal",
    package: "instance",
    sources: ["src/hop-by-hop.ts", "src/identity-headers.ts"],
    tests: ["forwarded-headers", "identity-headers-protected"],
  },
  {
    name: "scope-rules",
    package: "instance",
    sources: ["src/protected-resource/scope-rules.ts", "src/oauth/scope.ts", "src/oauth/entitlement.ts"],
    tests: ["scope-rules", "scope-rules-messages", "scope-assignment"],
  },
];
