import type { Case, Figure } from "../case.ts";
import { takeSample } from "../sample.ts";
import { ofNodeAlone, unitsPerCpuSecond } from "./figures.ts";
import { protectedChains } from "./protected-chains.ts";

const CONNECTIONS = 64;
const SEEN_TOKENS = 1_000;
/** More than an instance remembers (10,000), so each is forgotten before its next turn. */
const UNSEEN_TOKENS = 24_000;
const UNSEEN_TOKENS_QUICK = 10_500;

const common = { unit: "1/CPU s", better: "higher", subject: "gatehouse", value: unitsPerCpuSecond } as const;

function figures(id: string, work: string, wanted: { es256: Partial<Figure>; rs256: Partial<Figure> }) {
  const own: readonly Figure[] = [
    { ...common, id: `${id}-es256`, work: `${work}, ES256`, peer: "haproxy-es256", ...wanted.es256 },
    { ...common, id: `${id}-rs256`, work: `${work}, RS256`, peer: "haproxy-rs256", ...wanted.rs256 },
  ];
  return [...own, ...ofNodeAlone(own)];
}

function requests(options: {
  name: string;
  title: string;
  tokens: (isQuick: boolean) => number;
}): Pick<Case, "name" | "title" | "open"> {
  const { name, title } = options;
  return {
    name,
    title,
    open: async (place, { isQuick, seconds }) => {
      const chains = await protectedChains(place, { count: options.tokens(isQuick), tiers: 1 });
      const next = new Map<string, number>();
      return {
        contenders: chains.contenders,
        sample: async (contender) => {
          const tokens = chains.tokensOf(contender.name);
          const first = next.get(contender.name) ?? 0;
          const words = { mode: "requests", connections: CONNECTIONS, seconds, tokens: tokens.path, first };
          const sample = await takeSample(contender, {
            program: "load-tls",
            words: { ...chains.words, ...words },
          });
          next.set(contender.name, (sample.next_token ?? 0) % tokens.count);
          return sample;
        },
      };
    },
  };
}

const NOTE =
  "Gatehouse issues and takes RS256 only, so in the rows against ES256 its own tokens are RS256; a token it remembers costs it no signature of either kind.";

/** A thousand tokens in turn. */
export const seenTokens: Case = {
  ...requests({ name: "seen-tokens", title: "Token checked on every request", tokens: () => SEEN_TOKENS }),
  note: NOTE,
  figures: figures("seen-tokens", "chain, token checked on every request: requests per CPU second", {
    es256: { reach: 1.5, prototype: "0.95x" },
    rs256: { reach: 0.8 },
  }),
};

/** Each token as good as never seen. */
export const unseenTokens: Case = {
  ...requests({
    name: "unseen-tokens",
    title: "Every token unseen",
    tokens: (isQuick) => (isQuick ? UNSEEN_TOKENS_QUICK : UNSEEN_TOKENS),
  }),
  note: `${UNSEEN_TOKENS} tokens in turn: an instance remembers 10,000, so each is unknown again when its turn comes. Warmed up for longer than the others: half of what runs is the native check of the signature, and V8 compiles what was called often.`,
  warmUpFactor: 2,
  figures: figures("unseen-tokens", "the same, every token never seen before", {
    es256: { reach: 0.6, prototype: "0.3x" },
    rs256: { reach: 0.6 },
  }),
};
