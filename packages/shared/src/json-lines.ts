/** Octets that there is room for from the start. */
const FIRST_ROOM = 32 * 1024;
/** The longest that a UTF-16 unit can become: an escape of six octets. */
const LONGEST_UNIT = 6;
/** Digits of the largest safe integer, with sign, point and a digit behind it. */
const LONGEST_NUMBER = 32;

const QUOTE = '"'.charCodeAt(0);
const BACKSLASH = "\\".charCodeAt(0);
const COMMA = ",".charCodeAt(0);
const POINT = ".".charCodeAt(0);
const DIGIT_0 = "0".charCodeAt(0);
const SPACE = " ".charCodeAt(0);
const TILDE = "~".charCodeAt(0);
const OPEN = "{".charCodeAt(0);
const CLOSE = "}".charCodeAt(0);
const NEWLINE = "\n".charCodeAt(0);

/** A member's name as it stands before its value. Letters and digits only, which need no escape. */
export type MemberName = `"${string}":`;

/**
 * JSON objects of known shape, one a line, written as octets. `JSON.stringify` of the same object and the copy of its text cost half as
 * much again, and leave both to the collector; this runs for every request and leaves nothing.
 */
export class JsonLines {
  #octets: Buffer = Buffer.allocUnsafe(FIRST_ROOM);
  #length = 0;

  /** Octets written. */
  get length(): number {
    return this.#length;
  }

  /** What was written so far; the same memory is written again after {@link clear}. */
  get octets(): Buffer {
    return this.#octets.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Forgets what came after a former {@link length}. */
  cutTo(length: number): void {
    this.#length = length;
  }

  begin(): void {
    this.#reserve(1);
    this.#octets[this.#length++] = OPEN;
  }

  end(): void {
    this.#reserve(2);
    // In place of the comma behind the last member.
    if (this.#octets[this.#length - 1] === COMMA) this.#length -= 1;
    this.#octets[this.#length++] = CLOSE;
    this.#octets[this.#length++] = NEWLINE;
  }

  /** Writes nothing for undefined, as `JSON.stringify` does. */
  text(name: MemberName, value: string | undefined): void {
    if (value === undefined) return;
    this.#reserve(name.length + value.length * LONGEST_UNIT + 3);
    const octets = this.#octets;
    const start = this.#begin(name);
    let at = start;
    octets[at++] = QUOTE;
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code < SPACE || code > TILDE || code === QUOTE || code === BACKSLASH) {
        this.#length = start;
        this.#json(value);
        return;
      }
      octets[at++] = code;
    }
    octets[at++] = QUOTE;
    octets[at++] = COMMA;
    this.#length = at;
  }

  /** A list of texts. */
  texts(name: MemberName, values: readonly string[] | undefined): void {
    if (values === undefined) return;
    this.#reserve(name.length + 1);
    this.#begin(name);
    this.#json(values);
  }

  /** With at most one digit behind the point, rounded. */
  number(name: MemberName, value: number | undefined): void {
    if (value === undefined) return;
    this.#reserve(name.length + LONGEST_NUMBER);
    this.#begin(name);
    const tenths = Math.round(value * 10);
    if (tenths < 0 || !Number.isSafeInteger(tenths)) {
      this.#json(value);
      return;
    }
    const digit = tenths % 10;
    this.#digits((tenths - digit) / 10);
    if (digit !== 0) {
      this.#octets[this.#length++] = POINT;
      this.#octets[this.#length++] = DIGIT_0 + digit;
    }
    this.#octets[this.#length++] = COMMA;
  }

  /** Writes the name; returns where the value begins. */
  #begin(name: MemberName): number {
    const octets = this.#octets;
    let at = this.#length;
    for (let index = 0; index < name.length; index++) octets[at++] = name.charCodeAt(index);
    this.#length = at;
    return at;
  }

  #digits(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
    let rest = value;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      const tens = Math.floor(rest / 10);
      this.#octets[at] = DIGIT_0 + (rest - tens * 10);
      rest = tens;
    }
    this.#length += digits;
  }

  /** The slow way, for what needs escapes or is no plain number. */
  #json(value: string | number | readonly string[]): void {
    const text = JSON.stringify(value);
    this.#reserve(text.length * 3 + 1);
    this.#length += this.#octets.write(text, this.#length, "utf8");
    this.#octets[this.#length++] = COMMA;
  }

  #reserve(needed: number): void {
    if (this.#length + needed <= this.#octets.length) return;
    const wider = Buffer.allocUnsafe(Math.max(this.#octets.length * 2, this.#length + needed));
    this.#octets.copy(wider, 0, 0, this.#length);
    this.#octets = wider;
  }
}
