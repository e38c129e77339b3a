/** HTML that may be sent as it is. Only {@link markup} makes it of other people's text, and that escapes. */
export class Markup {
  readonly text: string;

  /** @param text written in this repository, never received. */
  constructor(text: string) {
    this.text = text;
  }
}

export type MarkupValue = string | Markup | readonly Markup[] | undefined;

/** Makes HTML of a template: every string put in is escaped, for element content and quoted attributes alike. */
export function markup(strings: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  const parts = strings.map((part, index) => part + render(values[index]));
  return new Markup(parts.join(""));
}

function render(value: MarkupValue): string {
  if (value === undefined) return "";
  if (value instanceof Markup) return value.text;
  return typeof value === "string" ? escape(value) : value.map(({ text }) => text).join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

/** Longest name of a client that a page shows. */
const MAX_NAME_LENGTH = 80;
/** What could hide, reorder or repaint text: controls, bidirectional marks, zero-width characters, line separators, tags. */
const DECEPTIVE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]+/gu;

/** Returns a name that a stranger chose in a form that can't pretend to be more than a name; undefined when nothing is left. */
export function plainName(name: string | undefined): string | undefined {
  const plain = (name ?? "").replace(DECEPTIVE, " ").replace(/\s+/g, " ").trim();
  if (plain === "") return undefined;
  if (plain.length <= MAX_NAME_LENGTH) return plain;
  // A cut through a surrogate pair would leave half a character.
  return `${plain.slice(0, MAX_NAME_LENGTH).replace(/[\ud800-\udbff]$/, "")}…`;
}
