import { ConfigError } from "@gatehouse/shared/config-error";
import { wrongTypeOf } from "@gatehouse/shared/stored-text";

/**
 * For what is about to be replaced, or is all that was asked for: a key that holds no string is named, and deleting it is left to whoever
 * knows what it was good for.
 * @throws {ConfigError}
 */
export function refuseWrongType(...texts: readonly (string | null)[]): void {
  const problems = texts.flatMap((text) => {
    const wrong = text === null ? undefined : wrongTypeOf(text);
    return wrong === undefined
      ? []
      : [{ key: wrong.key, expected: `must be a string (DEL ${wrong.key} takes it away)`, got: wrong.type }];
  });
  if (problems.length > 0) throw new ConfigError("what is stored can't be used", problems);
}
