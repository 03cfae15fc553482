import { readPrivate, writePrivate } from "./private-file";
import { type Hex, isBytes32 } from "../wire/bytes";
import { isJsonObject, isWholeNumber, readJsonObject } from "../wire/json";
import { isDataClass, isService, objectPath } from "../wire/names";
import type { ObjectName, StoredBy } from "../wire/stored-by";

/** The highest that this device has seen of one object. */
export interface HighWaterMark {
  readonly version: number;
  /** Unix seconds, by the device that stored it. */
  readonly issuedAt: number;
  /** Nonce of the store cap: names exactly one store. */
  readonly nonce: Hex;
}

/** What this device has seen, so that destruction and rollback are noticed. @see protocol 3.4 */
export interface HighWaterMarks {
  get(name: ObjectName): HighWaterMark | undefined;
  /** Raises the mark; durable before it answers. */
  raise(name: ObjectName, version: number, storedBy: StoredBy): Promise<void>;
}

/** Marks that end with the process. */
export function memoryMarks(): HighWaterMarks {
  return marksOver(new Map(), () => Promise.resolve());
}

/** Marks in a file of mode 0600, for one process at a time. Throws where the file is damaged: forgetting is rollback. */
export async function fileMarks(file: string): Promise<HighWaterMarks> {
  const marks = await readMarks(file);
  let writing = Promise.resolve();
  return marksOver(marks, () => {
    const content = Object.fromEntries(
      [...marks].map(([key, one]) => [key, { version: one.version, issued_at: one.issuedAt, nonce: one.nonce }]),
    );
    writing = writing.catch(() => undefined).then(() => writePrivate(file, JSON.stringify(content)));
    return writing;
  });
}

/** Every object that a marks file has seen; none where there is no file. @throws where the file is damaged or loose */
export async function namesInMarks(file: string): Promise<readonly ObjectName[]> {
  return [...(await readMarks(file)).keys()].map((key) => {
    const [, operator, actor = "", dataClass, service] = KEY.exec(key) ?? [];
    const actorOmni = `0x${actor}`;
    if (!isBytes32(operator) || !isBytes32(actorOmni) || !isDataClass(dataClass) || !isService(service)) {
      throw new Error(`${file} is damaged: ${JSON.stringify(key)} names no object`);
    }
    return { operatorOmni: operator, actorOmni, dataClass, service };
  });
}

const KEY = /^(0x[0-9a-f]{64})\/bots\/([0-9a-f]{64})\/([a-z]+)\/([^/]+)\.enc$/;

async function readMarks(file: string): Promise<Map<string, HighWaterMark>> {
  const text = await readPrivate(file);
  const marks = new Map<string, HighWaterMark>();
  if (text !== undefined) {
    const read = readJsonObject(Buffer.from(text));
    if (!read.ok) throw new Error(`${file} is damaged: this device no longer knows what it has seen`);
    for (const [key, value] of Object.entries(read.value)) {
      if (!isJsonObject(value)) throw new Error(`${file} is damaged: this device no longer knows what it has seen`);
      const { version, issued_at, nonce } = value;
      if (!isWholeNumber(version) || !isWholeNumber(issued_at) || !isBytes32(nonce)) {
        throw new Error(`${file} is damaged: this device no longer knows what it has seen`);
      }
      marks.set(key, { version, issuedAt: issued_at, nonce });
    }
  }
  return marks;
}

function marksOver(marks: Map<string, HighWaterMark>, save: () => Promise<void>): HighWaterMarks {
  const keyOf = (name: ObjectName): string =>
    `${name.operatorOmni}/${objectPath(name.actorOmni, name.dataClass, name.service)}`;
  return {
    get: (name) => marks.get(keyOf(name)),
    async raise(name, version, storedBy) {
      const seen = marks.get(keyOf(name));
      if (seen?.version === version) return;
      const issuedAt = Math.max(seen?.issuedAt ?? 0, storedBy.issued_at);
      marks.set(keyOf(name), { version, issuedAt, nonce: storedBy.nonce });
      await save();
    },
  };
}
