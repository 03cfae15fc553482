import { readPrivate } from "../../offchain/client/private-file";
import { type Hex, isBytes32 } from "../../offchain/wire/bytes";
import { UsageError } from "./networks";

/**
 * A funded key from a file (0600), or as a variable held it.
 * @throws UsageError when neither is a key; undefined when neither is given
 */
export async function keyFromFile(path: string | undefined, variable: string | undefined): Promise<Hex | undefined> {
  if (path === undefined) {
    if (variable === undefined || variable === "") return undefined;
    if (!isBytes32(variable)) throw new UsageError("DEPLOYER_KEY is not 0x and 64 lowercase hex digits");
    return variable;
  }
  const text = (
    await readPrivate(path).catch((error: unknown) => Promise.reject(new UsageError(String(error))))
  )?.trim();
  if (!isBytes32(text)) throw new UsageError(`${path} holds no key: one line, 0x and 64 lowercase hex digits`);
  return text;
}
