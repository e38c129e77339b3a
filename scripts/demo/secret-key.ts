import { writeFile } from "node:fs/promises";
import { newSecretKey } from "@gatehouse/shared/sealing";

/**
 * Makes the file that holds the demo's GATEHOUSE_SECRET_KEY, unless an earlier run with this state directory did: whoever starts one
 * of its instances by hand needs the same key.
 */
export async function keepSecretKey(path: string): Promise<void> {
  try {
    await writeFile(path, `${newSecretKey()}\n`, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
