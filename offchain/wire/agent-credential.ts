import { timingSafeEqual } from "node:crypto";

import { type Hex, fromBase64url, isAddressHex, isBytes32, toBase64url } from "./bytes";
import { type JsonObject, isWholeNumber, readJsonObject } from "./json";
import { type Result, ok, refuse } from "./result";

/** `typ` of an agent credential. */
export const AGENT_CREDENTIAL_TYP = "agentkeys-agent+jwt";

/** `aud` of an agent credential: only the signer's `/kms/*` routes take one. */
export const AGENT_CREDENTIAL_AUDIENCE = "agentkeys:kms";

/** Longest life of an agent credential, seconds. */
export const MAX_CREDENTIAL_LIFE = 7 * 24 * 3600;

/** What a credential says; the vault believes none of it without its own state. @see protocol 3.8 */
export interface AgentCredentialClaims {
  /** The signer's public base URL. */
  readonly iss: string;
  /** `agentkeys:kms`. */
  readonly aud: string;
  /** The actor whose device it was issued to. */
  readonly sub: Hex;
  /** 32 random bytes. */
  readonly jti: Hex;
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds, without leeway. */
  readonly exp: number;
  /** The uuid of the operator account's keys. */
  readonly walletId: string;
  readonly agentIndex: number;
  /** Lowercase. */
  readonly agentAddress: Hex;
  /** The only device that may use it. */
  readonly deviceKeyHash: Hex;
  /** The key's epoch in the vault when it was issued; a refresh or revocation raises it. */
  readonly epoch: number;
}

/** A compact JWS whose form is right; its MAC is not checked yet. */
export interface ParsedAgentCredential {
  readonly kid: string;
  readonly claims: AgentCredentialClaims;
  readonly signingInput: Buffer;
  /** 32 bytes. */
  readonly mac: Buffer;
}

/** HMAC-SHA256 by the token secret of this `kid`; undefined where there is none (any more). */
export type MacOf = (kid: string, signingInput: Uint8Array) => Promise<Uint8Array | undefined>;

// a credential of ours has about 700 characters; a longer text is not even decoded
const MAX_TEXT = 4_096;

/** Makes the credential: compact JWS, HS256 (RFC 7515, RFC 7518 section 3.2); undefined where the secret is gone. */
export async function encodeAgentCredential(
  claims: AgentCredentialClaims,
  kid: string,
  macOf: MacOf,
): Promise<string | undefined> {
  const header = toBase64url(JSON.stringify({ alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid }));
  const payload = toBase64url(
    JSON.stringify({
      iss: claims.iss,
      aud: claims.aud,
      sub: claims.sub,
      jti: claims.jti,
      iat: claims.iat,
      exp: claims.exp,
      wallet_id: claims.walletId,
      agent_index: claims.agentIndex,
      agent_address: claims.agentAddress,
      device_key_hash: claims.deviceKeyHash,
      epoch: claims.epoch,
    }),
  );
  const mac = await macOf(kid, Buffer.from(`${header}.${payload}`));
  return mac === undefined ? undefined : `${header}.${payload}.${toBase64url(mac)}`;
}

/** Reads a compact JWS: exactly `alg`, `typ`, `kid` in its header; every failure is `credential_invalid`. */
export function parseAgentCredential(text: string): Result<ParsedAgentCredential> {
  const parts = text.length <= MAX_TEXT ? text.split(".") : [];
  const [headerText, payloadText, macText] = parts;
  const headerBytes = fromBase64url(headerText);
  const payloadBytes = fromBase64url(payloadText);
  const mac = fromBase64url(macText);
  if (parts.length !== 3 || headerBytes === undefined || payloadBytes === undefined || mac?.length !== 32)
    return invalid("The credential is not a compact JWS.");
  const kid = readHeader(headerBytes);
  if (kid === undefined) return invalid("The credential's header is not exactly alg HS256, typ and kid.");
  const payload = readJsonObject(payloadBytes);
  const claims = payload.ok ? readClaims(payload.value) : undefined;
  if (claims === undefined) return invalid("The credential's claims are not those of an agent credential.");
  return ok({ kid, claims, signingInput: Buffer.from(`${headerText ?? ""}.${payloadText ?? ""}`), mac });
}

/** True when a token secret that still verifies made this credential; compared in constant time. */
export async function agentCredentialIsOurs(credential: ParsedAgentCredential, macOf: MacOf): Promise<boolean> {
  const expected = await macOf(credential.kid, credential.signingInput);
  return expected?.length === credential.mac.length && timingSafeEqual(expected, credential.mac);
}

function readHeader(bytes: Uint8Array): string | undefined {
  const header = readJsonObject(bytes);
  if (!header.ok) return undefined;
  const { alg, typ, kid } = header.value;
  if (Object.keys(header.value).length !== 3 || alg !== "HS256" || typ !== AGENT_CREDENTIAL_TYP) return undefined;
  return typeof kid === "string" ? kid : undefined;
}

function readClaims(claims: JsonObject): AgentCredentialClaims | undefined {
  const { iss, aud, sub, jti, iat, exp, wallet_id, agent_index, agent_address, device_key_hash, epoch } = claims;
  if (typeof iss !== "string" || typeof aud !== "string" || typeof wallet_id !== "string") return undefined;
  if (!isBytes32(sub) || !isBytes32(jti) || !isBytes32(device_key_hash)) return undefined;
  if (!isWholeNumber(iat) || !isWholeNumber(exp) || exp <= iat) return undefined;
  if (!isWholeNumber(agent_index) || !isAddressHex(agent_address) || !isWholeNumber(epoch)) return undefined;
  return {
    iss,
    aud,
    sub,
    jti,
    iat,
    exp,
    walletId: wallet_id,
    agentIndex: agent_index,
    agentAddress: agent_address,
    deviceKeyHash: device_key_hash,
    epoch,
  };
}

function invalid(detail: string): Result<never> {
  return refuse("credential_invalid", detail);
}
