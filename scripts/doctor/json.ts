import { isObject, type JsonObject } from "../demo/json-answer.ts";

/** Returns the object that a text is; undefined when it is none. */
export function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns a member's texts; none when it is no list of texts. */
export function textsIn(object: JsonObject | undefined, name: string): readonly string[] {
  const value = object?.[name];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

/** Returns a member that is a text; undefined when it is not. */
export function textIn(object: JsonObject | undefined, name: string): string | undefined {
  const value = object?.[name];
  return typeof value === "string" ? value : undefined;
}
