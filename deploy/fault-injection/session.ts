import type { Bed } from "./bed.ts";
import type { Claude } from "../test/support/claude.ts";

/** A client that is logged in at the protected host and keeps itself so: an answer 401 makes it refresh, as the specification has it. */
export class Session {
  readonly claude: Claude;
  /** True when tokens may end by themselves in this run, so that a 401 is no failure. */
  readonly #mayExpire: boolean;
  #access: string;
  #refresh: string;
  #renewing: Promise<void> | undefined;

  private constructor(claude: Claude, tokens: { access: string; refresh: string; mayExpire: boolean }) {
    this.claude = claude;
    this.#access = tokens.access;
    this.#refresh = tokens.refresh;
    this.#mayExpire = tokens.mayExpire;
  }

  static async start(bed: Bed, mayExpire: boolean): Promise<Session> {
    const { claude, ...tokens } = await bed.logIn();
    return new Session(claude, { ...tokens, mayExpire });
  }

  get tokens(): { readonly access: string; readonly refresh: string } {
    return { access: this.#access, refresh: this.#refresh };
  }

  /** Asks with the present token, and with a new one when that is refused. @throws when the answer is not 200 */
  async ask(send: (headers: { authorization: string }) => Promise<number>): Promise<void> {
    const used = this.#access;
    const status = await send({ authorization: `Bearer ${used}` });
    if (status === 200) return;
    if (status === 401) {
      if (used === this.#access) await this.renew();
      if (this.#mayExpire && (await send({ authorization: `Bearer ${this.#access}` })) === 200) return;
    }
    throw new Error(String(status));
  }

  /** Exchanges the refresh token. @throws when that is refused, or not answered: then the same one is shown next time. */
  async renew(): Promise<void> {
    this.#renewing ??= this.#exchange().finally(() => (this.#renewing = undefined));
    await this.#renewing;
  }

  async #exchange(): Promise<void> {
    const {
      status,
      access_token: access,
      refresh_token: refresh,
      error,
    } = await this.claude.refresh(this.#refresh);
    if (status !== 200) throw new Error(`${status} ${error}`);
    this.#access = access;
    this.#refresh = refresh;
  }
}
