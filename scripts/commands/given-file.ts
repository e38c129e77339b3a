import { readFileSync } from "node:fs";
import { UsageError } from "./command.ts";

/**
 * Returns the content of a file that somebody named on the command line.
 * @throws {UsageError} when it can't be read
 */
export function givenFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${path} can't be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}
