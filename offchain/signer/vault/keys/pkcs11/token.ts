import type { Handle, Template, TemplateResult } from "pkcs11js";

import { StoreUnavailable } from "../../../../store/unavailable";
import type { Secret } from "../../../../wire/secret";
import { VaultKeysError } from "../vault-keys";
import { type Cryptoki, type Library, codeOf, loadLibrary } from "./library";

/** Which token, and what opens it. */
export interface TokenSettings {
  /** Path of the vendor's library. */
  readonly module: string;
  /** The token's label. */
  readonly label: string;
  /** The user's PIN. */
  readonly pin: Secret<string>;
}

/** An open, logged-in token; calls are synchronous. */
export interface Token {
  readonly ck: Cryptoki;
  /** Objects of this label, and where given of this class. */
  find(label: string, objectClass?: number): readonly Handle[];
  /** One attribute's bytes. */
  read(object: Handle, type: number): Buffer;
  create(template: Template): Handle;
  destroy(object: Handle): void;
  generate(mechanism: number, template: Template): Handle;
  generatePair(mechanism: number, publicPart: Template, privatePart: Template): void;
  /** HMAC-SHA-256 or ECDSA of these bytes, by what the mechanism makes of them. */
  sign(mechanism: number, key: Handle, bytes: Buffer): Buffer;
  /** AES-256-GCM, ciphertext ‖ tag. */
  encrypt(key: Handle, iv: Buffer, aad: Buffer, clear: Buffer): Buffer;
  /** @throws VaultKeysError for what was not made so */
  decrypt(key: Handle, iv: Buffer, aad: Buffer, sealed: Buffer): Buffer;
  /** Does something; where the session was lost meanwhile, logs in again and does it once more. */
  within<T>(act: () => T): T;
  close(): void;
}

/** Longest answer of a call here: a GCM text of 64 bytes, an ECDSA signature, an HMAC. */
const ANSWER_BYTES = 256;
const FIND_AT_ONCE = 64;
const TAG_BITS = 128;

/**
 * Opens a token by its label.
 * @throws VaultKeysError whose words name the cause; StoreUnavailable when it does not answer
 */
export function openToken(settings: TokenSettings): Token {
  const library = loadLibrary(settings.module);
  const { ck, calls } = library;
  let session: Handle;
  try {
    session = logIn(library, settings);
  } catch (error) {
    library.release();
    throw error;
  }

  /** What says that session, login or handles are gone, and not that the request was wrong. */
  const lost = new Set<number>([
    ...[ck.CKR_SESSION_HANDLE_INVALID, ck.CKR_SESSION_CLOSED, ck.CKR_USER_NOT_LOGGED_IN],
    ...[ck.CKR_OBJECT_HANDLE_INVALID, ck.CKR_KEY_HANDLE_INVALID, ck.CKR_DEVICE_REMOVED, ck.CKR_TOKEN_NOT_PRESENT],
    ...[ck.CKR_DEVICE_ERROR, ck.CKR_CRYPTOKI_NOT_INITIALIZED],
  ]);

  let refused: VaultKeysError | undefined;

  /** Never with a PIN that was refused once: a few wrong ones lock a token. */
  function logInAgain(): void {
    if (refused !== undefined) throw refused;
    closeSession();
    try {
      try {
        session = logIn(library, settings);
      } catch (error) {
        if (error instanceof PinRefused) throw error;
        library.restart();
        session = logIn(library, settings);
      }
    } catch (error) {
      if (error instanceof PinRefused) refused = error;
      throw error instanceof VaultKeysError && !(error instanceof PinRefused) ? unavailable(error) : error;
    }
  }

  function closeSession(): void {
    try {
      calls.C_CloseSession(session);
    } catch {
      // it was gone already
    }
  }

  function gcm(iv: Buffer, aad: Buffer) {
    const parameter = { type: ck.CK_PARAMS_AES_GCM_v240, iv, ivBits: iv.length * 8, aad, tagBits: TAG_BITS };
    return { mechanism: ck.CKM_AES_GCM, parameter };
  }

  return {
    ck,
    find(label, objectClass) {
      const template: Template = [{ type: ck.CKA_LABEL, value: label }];
      if (objectClass !== undefined) template.push({ type: ck.CKA_CLASS, value: objectClass });
      calls.C_FindObjectsInit(session, template);
      try {
        const all: Handle[] = [];
        for (;;) {
          const some = calls.C_FindObjects(session, FIND_AT_ONCE);
          all.push(...some);
          if (some.length < FIND_AT_ONCE) return all;
        }
      } finally {
        calls.C_FindObjectsFinal(session);
      }
    },
    read(object, type) {
      const [found]: TemplateResult = calls.C_GetAttributeValue(session, object, [{ type }]);
      return found?.value ?? Buffer.of();
    },
    create: (template) => calls.C_CreateObject(session, template),
    destroy: (object) => {
      calls.C_DestroyObject(session, object);
    },
    generate: (mechanism, template) => calls.C_GenerateKey(session, { mechanism }, template),
    generatePair(mechanism, publicPart, privatePart) {
      calls.C_GenerateKeyPair(session, { mechanism }, publicPart, privatePart);
    },
    sign(mechanism, key, bytes) {
      calls.C_SignInit(session, { mechanism }, key);
      return calls.C_Sign(session, bytes, Buffer.alloc(ANSWER_BYTES));
    },
    encrypt(key, iv, aad, clear) {
      calls.C_EncryptInit(session, gcm(iv, aad), key);
      return calls.C_Encrypt(session, clear, Buffer.alloc(ANSWER_BYTES));
    },
    decrypt(key, iv, aad, sealed) {
      calls.C_DecryptInit(session, gcm(iv, aad), key);
      try {
        return calls.C_Decrypt(session, sealed, Buffer.alloc(ANSWER_BYTES));
      } catch (error) {
        const code = codeOf(ck, error);
        if (code === undefined || lost.has(code)) throw error;
        throw new VaultKeysError("what the token's key wrapped does not open: it was changed", { cause: error });
      }
    },
    within(act) {
      try {
        return act();
      } catch (error) {
        const code = codeOf(ck, error);
        if (code === undefined) throw error;
        if (!lost.has(code)) throw unavailable(error);
      }
      try {
        logInAgain();
        return act();
      } catch (error) {
        throw codeOf(ck, error) === undefined ? error : unavailable(error);
      }
    },
    close() {
      closeSession();
      library.release();
    },
  };
}

/** The token took the PIN for wrong. */
class PinRefused extends VaultKeysError {}

function unavailable(error: unknown): StoreUnavailable {
  const words = error instanceof Error ? error.message : String(error);
  return new StoreUnavailable(`the token does not answer: ${words}`, { cause: error });
}

function logIn({ ck, calls }: Library, { label, pin }: TokenSettings): Handle {
  const slots = calls.C_GetSlotList(true).filter((slot) => labelOf({ ck, calls }, slot) === label);
  const [slot] = slots;
  if (slot === undefined) throw new VaultKeysError(`no token is labelled ${label}: is it there, and initialised?`);
  if (slots.length > 1)
    throw new VaultKeysError(`${String(slots.length)} tokens are labelled ${label}: rename all but one`);
  const session = calls.C_OpenSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION);
  try {
    calls.C_Login(session, ck.CKU_USER, pin.reveal());
  } catch (error) {
    const code = codeOf(ck, error);
    // another session of this process did
    if (code === ck.CKR_USER_ALREADY_LOGGED_IN) return session;
    calls.C_CloseSession(session);
    const words = new Map([
      [ck.CKR_PIN_INCORRECT, "the PIN is wrong"],
      [ck.CKR_PIN_LOCKED, "the PIN is locked after too many wrong ones"],
      [ck.CKR_USER_PIN_NOT_INITIALIZED, "it has no user PIN yet"],
    ]);
    const known = code === undefined ? undefined : words.get(code);
    if (known === undefined) throw error;
    throw new PinRefused(`the token ${label} does not open: ${known}`, { cause: error });
  }
  return session;
}

/** Undefined for a token that does not answer: another one may be the right one. */
function labelOf({ ck, calls }: Pick<Library, "ck" | "calls">, slot: Handle): string | undefined {
  try {
    return calls.C_GetTokenInfo(slot).label.trimEnd();
  } catch (error) {
    if (codeOf(ck, error) === undefined) throw error;
    return undefined;
  }
}
