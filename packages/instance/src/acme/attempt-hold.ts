import { notBeforeWhenAsked, type Attempts } from "@gatehouse/shared/acme-attempts";

/** What holds the next attempt back: what failed before, and what has to be looked at again later. */
export class AttemptHold {
  #attempts: Attempts | undefined;
  #until = 0;
  #trouble: string | undefined;

  /** What is known to have failed from now on; undefined: nothing. Whatever else held is over. */
  know(attempts: Attempts | undefined): void {
    this.#attempts = attempts;
    this.#until = 0;
    this.#trouble = undefined;
  }

  /** Redis is away, or another process is at it: nothing is known of attempts until that time, milliseconds since the epoch. */
  lookAgain(at: number, trouble?: string): void {
    this.#until = at;
    this.#trouble = trouble ?? this.#trouble;
  }

  /** Milliseconds since the epoch; earlier when an operator asks. */
  notBefore(isAsked: boolean): number {
    const held = isAsked ? notBeforeWhenAsked(this.#attempts) : (this.#attempts?.not_before ?? 0);
    return Math.max(held, this.#until);
  }

  /** Undefined when nothing is wrong. */
  get problem(): string | undefined {
    const failed = this.#attempts?.problem;
    return this.#trouble ?? (failed === "" ? undefined : failed);
  }
}
