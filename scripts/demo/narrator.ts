/** Says in plain words what is being done and what came of it. */
export interface Narrator {
  /** Starts a numbered step. */
  step(text: string): void;
  detail(text: string): void;
}

/** Prints on stdout; remembers the step it is at, for the message when it fails. */
export class ConsoleNarrator implements Narrator {
  #count = 0;
  #current = "starting";

  /** The step that is being done. */
  get current(): string {
    return this.#current;
  }

  step(text: string): void {
    this.#count++;
    this.#current = `${this.#count}. ${text}`;
    console.log(`\n${this.#current}`);
  }

  detail(text: string): void {
    console.log(text.replaceAll(/^/gm, "   "));
  }
}
