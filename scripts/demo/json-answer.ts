/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Returns the object that an answer carries. @throws with what it carries instead, when the status is another */
export async function jsonAnswer(response: Response, status: number): Promise<JsonObject> {
  const text = await response.text();
  if (response.status !== status)
    throw new Error(`${response.url}: ${response.status} instead of ${status}: ${text}`);
  const value: unknown = JSON.parse(text);
  if (isObject(value)) return value;
  throw new Error(`${response.url}: no JSON object: ${text}`);
}

/** Returns a member that must be a text. @throws when it is not */
export function textOf(object: JsonObject, name: string): string {
  const value = object[name];
  if (typeof value === "string") return value;
  throw new Error(`${name} is ${JSON.stringify(value)}, not a text`);
}

/** Returns a member that must be a list of texts. @throws when it is not */
export function textsOf(object: JsonObject, name: string): string[] {
  const value = object[name];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new Error(`${name} is ${JSON.stringify(value)}, not a list of texts`);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
