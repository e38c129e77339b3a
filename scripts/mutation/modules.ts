/** Code whose every branch keeps somebody out, and the tests that have to notice when one is changed. */
export interface MutatedModule {
  readonly name: string;
  readonly package: "shared" | "dispatcher" | "instance";
  readonly files: readonly MutatedFile[];
}

/** Each file has its own tests, and those that load little where there is a choice: they are loaded anew for every mutant. */
export interface MutatedFile {
  /** Below the package. */
  readonly source: string;
  /** Names of test files without `.test.ts`, below the package's `test`. */
  readonly tests: readonly string[];
}

export const MUTATED_MODULES: readonly MutatedModule[] = [
  {
    name: "proxy-header",
    package: "shared",
    files: [{ source: "src/proxy-header.ts", tests: ["proxy-header"] }],
  },
  {
    name: "proxy-trust",
    package: "instance",
    files: [
      { source: "src/receive.ts", tests: ["receive"] },
      { source: "src/admission.ts", tests: ["admission"] },
    ],
  },
  {
    name: "token-check",
    package: "instance",
    files: [
      { source: "src/oauth/signed-token.ts", tests: ["signed-token"] },
      { source: "src/oauth/seen-tokens.ts", tests: ["seen-tokens"] },
      { source: "src/protected-resource/bearer.ts", tests: ["bearer"] },
    ],
  },
  {
    name: "redirect-uris",
    package: "instance",
    files: [{ source: "src/oauth/redirect-uri.ts", tests: ["redirect-uri"] }],
  },
  {
    name: "header-removal",
    package: "instance",
    files: [
      { source: "src/hop-by-hop.ts", tests: ["hop-by-hop"] },
      { source: "src/identity-headers.ts", tests: ["identity-headers"] },
    ],
  },
  {
    name: "scope-rules",
    package: "instance",
    files: [
      { source: "src/protected-resource/scope-rules.ts", tests: ["scope-rules"] },
      { source: "src/oauth/scope.ts", tests: ["scope-assignment"] },
      { source: "src/oauth/entitlement.ts", tests: ["entitlement"] },
    ],
  },
];
