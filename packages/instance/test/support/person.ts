import type { Identity } from "../../src/oauth/identity.ts";

/** Who logged in by GitHub: nobody in particular, but for what a test says. */
export function person(fields: Partial<Identity> = {}): Identity {
  return {
    uid: "github:583231",
    login: "octocat",
    email: null,
    emailVerified: false,
    organisations: [],
    teams: [],
    ...fields,
  };
}
