import { type Hex, fromBase64url, isAddressHex, isBytes32 } from "./bytes";
import { type AssertionText, type CeremonyOperation, isCeremonyOperation, readAssertionText } from "./ceremony";
import { type JsonObject, type JsonValue, isWholeNumber, readJsonObject } from "./json";
import { isLabel } from "./names";
import { type Result, ok, refuse } from "./result";
import { type PackedUserOperation, readUserOperation } from "./user-operation";

/** Every route of the signer for agents, all of them POST. @see protocol 3.8 */
export const KMS_PATHS = {
  beginCeremony: "/kms/begin-ceremony",
  createAgentKey: "/kms/create-agent-key",
  signAgent: "/kms/sign-agent",
  refreshAgentCredential: "/kms/refresh-agent-credential",
  revokeAgentCredential: "/kms/revoke-agent-credential",
} as const;

/** The only `algorithm` of a payload: EIP-191, version 0x45, over 32 bytes. */
export const PAYLOAD_ALGORITHM = "eip191-32";

/** Highest index of a key: BIP-32 numbers above it are hardened. */
export const MAX_AGENT_INDEX = 2 ** 31 - 1;

const KEY_ID = /^([0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}):(0|[1-9][0-9]{0,9})$/;

/** The two halves of a `keyId`, `<uuid version 8>:<index>`; undefined for any other text. */
export function readKeyId(value: unknown): { readonly walletId: string; readonly index: number } | undefined {
  const [, walletId, digits] = (typeof value === "string" ? KEY_ID.exec(value) : null) ?? [];
  const index = Number(digits);
  return walletId !== undefined && index <= MAX_AGENT_INDEX ? { walletId, index } : undefined;
}

/** `POST /kms/begin-ceremony`: what a passkey is about to allow. The device is the proof's. */
export type BeginCeremonyBody =
  | { readonly operation: "create"; readonly humanKeyId: Hex; readonly label: string }
  | { readonly operation: Exclude<CeremonyOperation, "create">; readonly humanKeyId: Hex; readonly keyId: string };

/** `POST /kms/create-agent-key`. */
export interface CreateAgentKeyBody {
  /** From `begin-ceremony`. */
  readonly ceremonyId: string;
  /** The operator's master account. */
  readonly humanKeyId: Hex;
  readonly label: string;
  readonly webAuthnAssertion: AssertionText;
}

/** `POST /kms/refresh-agent-credential` and `POST /kms/revoke-agent-credential`. */
export interface AgentCredentialBody {
  /** From `begin-ceremony`. */
  readonly ceremonyId: string;
  readonly keyId: string;
  readonly webAuthnAssertion: AssertionText;
}

/** A user operation to sign; its hash is computed by the vault. */
export interface SignOperationBody {
  readonly kind: "userOperation";
  readonly keyId: string;
  readonly userOperation: PackedUserOperation;
  readonly entryPoint: Hex;
  readonly chainId: number;
}

/** 32 bytes to wrap (EIP-191) and sign, where the operator's grant allows it. */
export interface SignPayloadBody {
  readonly kind: "payload";
  readonly keyId: string;
  readonly payload: Hex;
  /** The master account that the signature is for. */
  readonly accountAddress: Hex;
}

/** `POST /kms/sign-agent`. */
export type SignAgentBody = SignOperationBody | SignPayloadBody;

/** The answer to `begin-ceremony`: a nonce, never a challenge. */
export interface BeginCeremonyAnswer {
  /** base64url of 16 bytes. */
  readonly ceremonyId: string;
  /** 32 bytes. */
  readonly nonce: Hex;
  readonly rpId: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** The answer to `create-agent-key` and `refresh-agent-credential`; the credential is never shown again. */
export interface AgentCredentialAnswer {
  readonly keyId: string;
  readonly agentAddress: Hex;
  readonly derivationPath: string;
  readonly agentCredential: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** The answer to `sign-agent`. */
export interface SignAgentAnswer {
  readonly keyId: string;
  readonly agentAddress: Hex;
  /** 106 bytes. */
  readonly signature: Hex;
}

/** The answer to `revoke-agent-credential`, the same each time. */
export interface RevokeAnswer {
  readonly success: true;
  /** Unix seconds. */
  readonly revokedAt: number;
}

/** Reads the body of `begin-ceremony`: `request_malformed`. */
export function parseBeginCeremony(body: Uint8Array): Result<BeginCeremonyBody> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { operation, humanKeyId, keyId, label } = read.value;
  if (!isCeremonyOperation(operation)) return malformed("operation");
  if (!isAddressHex(humanKeyId)) return malformed("humanKeyId");
  if (operation === "create") return isLabel(label) ? ok({ operation, humanKeyId, label }) : malformed("label");
  return isKeyId(keyId) ? ok({ operation, humanKeyId, keyId }) : malformed("keyId");
}

/** Reads the body of `create-agent-key`: `request_malformed`. */
export function parseCreateAgentKey(body: Uint8Array): Result<CreateAgentKeyBody> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { ceremonyId, humanKeyId, label } = read.value;
  const webAuthnAssertion = readAssertionText(read.value["webAuthnAssertion"]);
  if (!isCeremonyId(ceremonyId)) return malformed("ceremonyId");
  if (!isAddressHex(humanKeyId)) return malformed("humanKeyId");
  if (!isLabel(label)) return malformed("label");
  if (webAuthnAssertion === undefined) return malformed("webAuthnAssertion");
  return ok({ ceremonyId, humanKeyId, label, webAuthnAssertion });
}

/** Reads the body of `refresh-agent-credential`: `request_malformed`. */
export function parseRefreshAgentCredential(body: Uint8Array): Result<AgentCredentialBody> {
  return parseAgentCredentialBody(body);
}

/** Reads the body of `revoke-agent-credential`: `request_malformed`. */
export function parseRevokeAgentCredential(body: Uint8Array): Result<AgentCredentialBody> {
  return parseAgentCredentialBody(body);
}

function parseAgentCredentialBody(body: Uint8Array): Result<AgentCredentialBody> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { ceremonyId, keyId } = read.value;
  const webAuthnAssertion = readAssertionText(read.value["webAuthnAssertion"]);
  if (!isCeremonyId(ceremonyId)) return malformed("ceremonyId");
  if (!isKeyId(keyId)) return malformed("keyId");
  if (webAuthnAssertion === undefined) return malformed("webAuthnAssertion");
  return ok({ ceremonyId, keyId, webAuthnAssertion });
}

const OPERATION_MEMBERS: ReadonlySet<string> = new Set(["keyId", "userOperation", "entryPoint", "chainId"]);
const PAYLOAD_MEMBERS: ReadonlySet<string> = new Set(["keyId", "payload", "algorithm", "accountAddress"]);

/**
 * Reads the body of `sign-agent`: `request_malformed` without a `keyId`; `payload_invalid` for whatever is not one user
 * operation or one payload of 32 bytes. Here alone another member is refused: a digest, typed data, a transaction or an
 * EIP-7702 authorization beside what is signed must not look signed.
 */
export function parseSignAgent(body: Uint8Array): Result<SignAgentBody> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { keyId } = read.value;
  if (!isKeyId(keyId)) return malformed("keyId");
  if (hasOnly(read.value, OPERATION_MEMBERS)) return readOperation(keyId, read.value);
  if (hasOnly(read.value, PAYLOAD_MEMBERS)) return readPayload(keyId, read.value);
  return unusable("it is neither a user operation nor a payload with its algorithm and account, and nothing else");
}

function hasOnly(body: JsonObject, members: ReadonlySet<string>): boolean {
  return Object.keys(body).every((member) => members.has(member));
}

function readOperation(keyId: string, body: JsonObject): Result<SignAgentBody> {
  const { entryPoint, chainId } = body;
  const userOperation = readUserOperation(body["userOperation"]);
  if (userOperation === undefined) return unusable("userOperation is not a packed user operation");
  if (!isAddressHex(entryPoint)) return unusable("entryPoint is not an address");
  if (!isWholeNumber(chainId)) return unusable("chainId is not a whole number");
  return ok({ kind: "userOperation", keyId, userOperation, entryPoint, chainId });
}

function readPayload(keyId: string, body: JsonObject): Result<SignAgentBody> {
  const { payload, algorithm, accountAddress } = body;
  if (algorithm !== PAYLOAD_ALGORITHM) return unusable("its algorithm is not eip191-32");
  if (!isBytes32(payload)) return unusable("its payload is not 32 bytes");
  if (!isAddressHex(accountAddress)) return unusable("accountAddress is not an address");
  return ok({ kind: "payload", keyId, payload, accountAddress });
}

function isCeremonyId(value: JsonValue | undefined): value is string {
  return fromBase64url(value)?.length === 16;
}

function isKeyId(value: JsonValue | undefined): value is string {
  return readKeyId(value) !== undefined;
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}

function unusable(why: string): Result<never> {
  return refuse("payload_invalid", `The request cannot be signed: ${why}.`);
}
