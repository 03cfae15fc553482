import { type Hex, isAddressHex, isBytes32, isSignatureHex } from "./bytes";
import { type CapRequest, capRequestDigest } from "./cap-request";
import { type AssertionText, type Ceremony, readAssertionText, readCeremony } from "./ceremony";
import { deviceBindingDigest } from "./device-binding";
import { freezeDigest } from "./freeze";
import { type JsonObject, type JsonValue, isJsonObject, isWholeNumber, readJsonObject } from "./json";
import { isDataClass, isOp, isService } from "./names";
import { requestProofDigest } from "./request-proof";
import { type Result, ok, refuse } from "./result";

/** Checks a K10 signature over one of the device's messages. @see protocol 3.7 */
export const VERIFY_K10_PATH = "/v1/verify/k10-sig";

/** Checks a passkey's assertion over a ceremony. @see protocol 3.7, 3.8 */
export const VERIFY_K11_PATH = "/v1/verify/k11-assertion";

/** A message whose digest is computed here, and the signature that came with it. */
export interface K10Question {
  /** The EIP-712 digest under a domain separator. */
  readonly digest: (separator: Uint8Array) => Buffer;
  /** The device that the message names, where it names one by hash. */
  readonly deviceKeyHash: Hex | undefined;
  /** The device that the message names, where it names one by address. */
  readonly deviceKey: Hex | undefined;
  readonly sig: Hex;
}

/** A ceremony as the client showed it, its nonce, and the assertion. */
export interface K11Question {
  readonly ceremony: Ceremony;
  readonly nonce: Hex;
  readonly assertion: AssertionText;
}

type Reader = (message: JsonObject) => Omit<K10Question, "sig"> | undefined;

/** The four messages of protocol 3.2, `snake_case`; no digest is ever taken from outside. */
const READERS: Readonly<Record<string, Reader>> = {
  CapRequest: readCapRequest,
  RequestProof: readRequestProof,
  DeviceBinding: readDeviceBinding,
  Freeze: readFreeze,
};

/** Reads `{ type, message, sig }`: `request_malformed`. */
export function parseK10Question(bytes: Uint8Array): Result<K10Question> {
  const read = readJsonObject(bytes);
  if (!read.ok) return read;
  const { type, message, sig } = read.value;
  const reader = typeof type === "string" && Object.hasOwn(READERS, type) ? READERS[type] : undefined;
  if (reader === undefined || !isJsonObject(message)) return malformed("type or message");
  const question = reader(message);
  if (question === undefined) return malformed("message");
  return isSignatureHex(sig) ? ok({ ...question, sig }) : malformed("sig");
}

/** Reads `{ ceremony, nonce, assertion }`: `request_malformed`. */
export function parseK11Question(bytes: Uint8Array): Result<K11Question> {
  const read = readJsonObject(bytes);
  if (!read.ok) return read;
  const ceremony = readCeremony(read.value["ceremony"]);
  const assertion = readAssertionText(read.value["assertion"]);
  const { nonce } = read.value;
  if (ceremony === undefined) return malformed("ceremony");
  if (assertion === undefined) return malformed("assertion");
  return isBytes32(nonce) ? ok({ ceremony, nonce, assertion }) : malformed("nonce");
}

function readCapRequest(message: JsonObject): Omit<K10Question, "sig"> | undefined {
  const { operator_omni, actor_omni, device_key_hash, service, op, data_class } = message;
  const { content_hash, k3_epoch, issued_at, expires_at, nonce } = message;
  if (!isBytes32(operator_omni) || !isBytes32(actor_omni) || !isBytes32(device_key_hash)) return undefined;
  if (!isService(service) || !isOp(op) || !isDataClass(data_class) || !isBytes32(content_hash)) return undefined;
  if (!isWholeNumber(k3_epoch) || !isWholeNumber(issued_at) || !isWholeNumber(expires_at)) return undefined;
  if (!isBytes32(nonce)) return undefined;
  const cap: CapRequest = {
    operatorOmni: operator_omni,
    actorOmni: actor_omni,
    deviceKeyHash: device_key_hash,
    service,
    op,
    dataClass: data_class,
    contentHash: content_hash,
    k3Epoch: k3_epoch,
    issuedAt: issued_at,
    expiresAt: expires_at,
    nonce,
  };
  return named(device_key_hash, (separator) => capRequestDigest(separator, cap));
}

function readRequestProof(message: JsonObject): Omit<K10Question, "sig"> | undefined {
  const { device_key_hash, method, target, body_hash, credential_hash, seal_to, nonce, issued_at } = message;
  if (!isBytes32(device_key_hash) || !isText(method) || !isText(target)) return undefined;
  if (!isBytes32(body_hash) || !isBytes32(credential_hash) || !isBytes32(seal_to) || !isBytes32(nonce))
    return undefined;
  if (!isWholeNumber(issued_at)) return undefined;
  const proof = {
    deviceKeyHash: device_key_hash,
    method,
    target,
    bodyHash: body_hash,
    credentialHash: credential_hash,
    sealTo: seal_to,
    nonce,
    issuedAt: issued_at,
  };
  return named(device_key_hash, (separator) => requestProofDigest(separator, proof));
}

function readDeviceBinding(message: JsonObject): Omit<K10Question, "sig"> | undefined {
  const { operator_omni, actor_omni, device_key, roles, attestation_hash, deadline } = message;
  if (!isBytes32(operator_omni) || !isBytes32(actor_omni) || !isAddressHex(device_key)) return undefined;
  if (!isWholeNumber(roles) || roles > 255 || !isBytes32(attestation_hash) || !isWholeNumber(deadline))
    return undefined;
  const binding = {
    operatorOmni: operator_omni,
    actorOmni: actor_omni,
    deviceKey: device_key,
    roles,
    attestationHash: attestation_hash,
    deadline,
  };
  const digest = (separator: Uint8Array): Buffer => deviceBindingDigest(separator, binding);
  return { digest, deviceKeyHash: undefined, deviceKey: device_key };
}

function readFreeze(message: JsonObject): Omit<K10Question, "sig"> | undefined {
  const { operator_omni, device_key_hash, freeze_nonce, deadline } = message;
  if (!isBytes32(operator_omni) || !isBytes32(device_key_hash)) return undefined;
  if (!isWholeNumber(freeze_nonce) || !isWholeNumber(deadline)) return undefined;
  const freeze = { operatorOmni: operator_omni, deviceKeyHash: device_key_hash, freezeNonce: freeze_nonce, deadline };
  return named(device_key_hash, (separator) => freezeDigest(separator, freeze));
}

function named(deviceKeyHash: Hex, digest: K10Question["digest"]): Omit<K10Question, "sig"> {
  return { digest, deviceKeyHash, deviceKey: undefined };
}

function isText(value: JsonValue | undefined): value is string {
  return typeof value === "string";
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}
