import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

import { fromBase64url, toBase64url } from "../../../wire/bytes";
import { type JsonObject, isWholeNumber, readJsonObject } from "../../../wire/json";
import { VaultFileError } from "./checked-file";

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A sealed file taken apart: its head in the clear, and what is needed to open the rest. */
export interface Envelope {
  readonly head: JsonObject;
  readonly sequence: number;
  /** AES-256-GCM with the head as additional data. @throws VaultFileError that ends with `whyNot` */
  open(key: Uint8Array, whyNot: string): Buffer;
}

/**
 * A sealed file's text: one line of JSON in the clear (`format`, `sequence`, `iv`, and what else is given), one line of
 * base64url (ciphertext ‖ tag). The head is authenticated with the rest.
 */
export function sealEnvelope(
  head: Readonly<Record<string, string | number>>,
  key: Uint8Array,
  clear: Uint8Array,
): Buffer {
  const iv = randomBytes(IV_BYTES);
  const headText = JSON.stringify({ ...head, iv: toBase64url(iv) });
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(headText));
  const sealed = Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
  return Buffer.from(`${headText}\n${toBase64url(sealed)}\n`);
}

/** Takes a sealed file's text apart. `what` is how a file of another format is refused. @throws VaultFileError */
export function parseEnvelope(file: string, bytes: Buffer, formats: readonly string[], what: string): Envelope {
  const [headText = "", sealedText, end, ...more] = bytes.toString("latin1").split("\n");
  const read = readJsonObject(Buffer.from(headText));
  const format = read.ok ? read.value["format"] : undefined;
  if (!read.ok || typeof format !== "string" || !formats.includes(format)) {
    throw new VaultFileError(`${file} is no ${what}, or its start is cut off`);
  }
  const sealed = fromBase64url(sealedText);
  if (sealed === undefined || sealed.length < TAG_BYTES || end === undefined) {
    throw new VaultFileError(`${file} is cut off`);
  }
  if (end !== "" || more.length > 0) throw new VaultFileError(`${file} has something behind its end`);
  const head = read.value;
  const { sequence } = head;
  const iv = fromBase64url(head["iv"]);
  if (!isWholeNumber(sequence) || iv?.length !== IV_BYTES) throw new VaultFileError(`${file} has a damaged head`);
  return {
    head,
    sequence,
    open(key, whyNot) {
      const decipher = createDecipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(headText))
        .setAuthTag(sealed.subarray(-TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
      } catch {
        throw new VaultFileError(`${file} does not open: ${whyNot}`);
      }
    },
  };
}
