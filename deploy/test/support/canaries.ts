import { randomBytes } from "node:crypto";

/** Shorter pieces of a secret are found by chance, and are of little use to whoever finds them. */
const MIN_PIECE = 16;

/**
 * Secrets that were planted or issued during a test, and the search for them. A secret counts as found in any form that a careless line
 * of code would give it: percent-encoded, in base64 wherever it begins, in either half.
 */
export class Canaries {
  /** By the text to look for: which secret it is of. */
  readonly #forms = new Map<string, string>();

  /** Makes a secret for that slot and remembers it. Letters and digits only, so that it can stand anywhere. */
  plant(slot: string): string {
    const value = randomBytes(20).toString("hex");
    this.learn(slot, value);
    return value;
  }

  /** Remembers a secret that somebody else made. */
  learn(slot: string, value: string): void {
    if (value.length < MIN_PIECE) return;
    const forms = [value, encodeURIComponent(value), value.toLowerCase(), ...inBase64(value)];
    for (const form of new Set(forms)) {
      const middle = Math.ceil(form.length / 2);
      for (const piece of [form, form.slice(0, middle), form.slice(middle)]) {
        if (piece.length >= MIN_PIECE && !this.#forms.has(piece)) this.#forms.set(piece, slot);
      }
    }
  }

  /** How many different texts are looked for. */
  get size(): number {
    return this.#forms.size;
  }

  /** Returns the slots whose secrets occur in the text, each with what surrounds it. */
  findIn(text: string): string[] {
    const found = new Map<string, string>();
    for (const [form, slot] of this.#forms) {
      const at = found.has(slot) ? -1 : text.indexOf(form);
      if (at !== -1) found.set(slot, `${slot}: …${text.slice(Math.max(0, at - 120), at + form.length + 20)}`);
    }
    return [...found.values()];
  }
}

/** The characters of an encoding that depend on the value alone, for each of the three places it can begin at. */
function inBase64(value: string): string[] {
  const forms: string[] = [];
  for (const encoding of ["base64", "base64url"] as const) {
    for (let before = 0; before < 3; before += 1) {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(value)]);
      const whole = bytes.toString(encoding).replace(/=+$/, "");
      // Characters that share bits with what stands before or behind.
      forms.push(whole.slice(before === 0 ? 0 : before + 1, -1));
    }
  }
  return forms;
}
