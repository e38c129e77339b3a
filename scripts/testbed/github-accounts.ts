/** A person at the stand-in. */
export interface GitHubAccount {
  readonly login: string;
  readonly id: number;
  readonly name: string;
  /** As `/user` shows it: null when the person made none public. */
  readonly email: string | null;
  /** As `/user/emails` lists them. */
  readonly emails: readonly {
    readonly email: string;
    readonly primary: boolean;
    readonly verified: boolean;
    readonly visibility: "public" | "private" | null;
  }[];
  readonly organisations: readonly string[];
  /** As `organisation/slug`. */
  readonly teams: readonly string[];
}

/** The two accounts of the demo, with the numeric ids that they have at GitHub. */
export const OCTOCAT: GitHubAccount = {
  login: "octocat",
  id: 583_231,
  name: "The Octocat",
  email: "octocat@github.com",
  emails: [
    { email: "octocat@github.com", primary: true, verified: true, visibility: "public" },
    { email: "octocat@users.noreply.github.com", primary: false, verified: true, visibility: null },
  ],
  organisations: ["github"],
  teams: ["github/mascots"],
};

/** Nothing about this account tells an address: the only one it has was never confirmed. */
export const HUBOT: GitHubAccount = {
  login: "hubot",
  id: 480_938,
  name: "Hubot",
  email: null,
  emails: [{ email: "hubot@example.com", primary: true, verified: false, visibility: null }],
  organisations: [],
  teams: [],
};
