import { type KeyObject, sign, verify } from "node:crypto";

import { type Hex, fromBase64url, isBytes32, toBase64url } from "./bytes";
import type { CapRequest } from "./cap-request";
import { type JsonObject, isWholeNumber, readJsonObject } from "./json";
import { type DataClass, type Op, OP_BIT, isDataClass, isService } from "./names";
import { type Result, ok, refuse } from "./result";

/** `typ` of a cap. */
export const CAP_TYP = "agentkeys-cap+jwt";

/** The claims of a cap as the broker countersigns them. @see protocol 3.3 */
export interface CapClaims {
  /** Broker origin. */
  readonly iss: string;
  /** `agentkeys:worker:<data_class>` or `agentkeys:worker:classify`. */
  readonly aud: string;
  /** The device's own words; `client_sig` covers them. */
  readonly request: CapRequest;
  /** As the device sent it. */
  readonly clientSig: unknown;
}

/** A compact JWS whose form is right; its signature is not checked yet. */
export interface ParsedCap {
  readonly kid: string;
  readonly claims: CapClaims;
  readonly signingInput: Buffer;
  /** 64 bytes, r ‖ s. */
  readonly signature: Buffer;
}

/** The audience of a cap. */
export function capAudience(op: Op, dataClass: DataClass): string {
  return op === "classify" ? "agentkeys:worker:classify" : `agentkeys:worker:${dataClass}`;
}

/** Countersigns a cap: compact JWS, ES256 (RFC 7515, RFC 7518 section 3.4). */
export function encodeCap(claims: CapClaims & { readonly clientSig: Hex }, kid: string, key: KeyObject): string {
  const { request } = claims;
  const header = toBase64url(JSON.stringify({ alg: "ES256", typ: CAP_TYP, kid }));
  const payload = toBase64url(
    JSON.stringify({
      iss: claims.iss,
      aud: claims.aud,
      sub: request.actorOmni,
      jti: request.nonce,
      iat: request.issuedAt,
      exp: request.expiresAt,
      operator_omni: request.operatorOmni,
      device_key_hash: request.deviceKeyHash,
      service: request.service,
      op: request.op,
      data_class: request.dataClass,
      content_hash: request.contentHash,
      k3_epoch: request.k3Epoch,
      client_sig: claims.clientSig,
    }),
  );
  const input = `${header}.${payload}`;
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${toBase64url(signature)}`;
}

/** Reads a compact JWS: exactly `alg`, `typ`, `kid` in its header; every failure is `broker_sig_invalid`. */
export function parseCap(text: string): Result<ParsedCap> {
  const parts = text.split(".");
  const [headerText, payloadText, signatureText] = parts;
  const headerBytes = fromBase64url(headerText);
  const payloadBytes = fromBase64url(payloadText);
  const signature = fromBase64url(signatureText);
  if (parts.length !== 3 || headerBytes === undefined || payloadBytes === undefined || signature?.length !== 64) {
    return invalid("The cap is not a compact JWS.");
  }
  const kid = readHeader(headerBytes);
  if (kid === undefined) return invalid("The cap's header is not exactly alg ES256, typ and kid.");
  const payload = readJsonObject(payloadBytes);
  const claims = payload.ok ? readClaims(payload.value) : undefined;
  if (claims === undefined) return invalid("The cap's claims are not those of a cap.");
  return ok({ kid, claims, signingInput: Buffer.from(`${headerText ?? ""}.${payloadText ?? ""}`), signature });
}

/** True when the broker key signed this cap. */
export function capSignatureIsValid(cap: ParsedCap, key: KeyObject): boolean {
  return verify("sha256", cap.signingInput, { key, dsaEncoding: "ieee-p1363" }, cap.signature);
}

function readHeader(bytes: Uint8Array): string | undefined {
  const header = readJsonObject(bytes);
  if (!header.ok) return undefined;
  const { alg, typ, kid } = header.value;
  if (Object.keys(header.value).length !== 3 || alg !== "ES256" || typ !== CAP_TYP) return undefined;
  return typeof kid === "string" ? kid : undefined;
}

function readClaims(claims: JsonObject): CapClaims | undefined {
  const { iss, aud, sub, jti, iat, exp, operator_omni, device_key_hash, service, op, data_class, content_hash } =
    claims;
  const k3Epoch = claims["k3_epoch"];
  if (typeof iss !== "string" || typeof aud !== "string") return undefined;
  if (!isBytes32(sub) || !isBytes32(jti) || !isBytes32(operator_omni)) return undefined;
  if (!isBytes32(device_key_hash) || !isBytes32(content_hash) || !isService(service)) return undefined;
  if (!isOp(op) || !isDataClass(data_class)) return undefined;
  if (!isWholeNumber(iat) || !isWholeNumber(exp) || !isWholeNumber(k3Epoch)) return undefined;
  const request: CapRequest = {
    operatorOmni: operator_omni,
    actorOmni: sub,
    deviceKeyHash: device_key_hash,
    service,
    op,
    dataClass: data_class,
    contentHash: content_hash,
    k3Epoch,
    issuedAt: iat,
    expiresAt: exp,
    nonce: jti,
  };
  return { iss, aud, request, clientSig: claims["client_sig"] };
}

function isOp(value: unknown): value is Op {
  return typeof value === "string" && Object.hasOwn(OP_BIT, value);
}

function invalid(detail: string): Result<never> {
  return refuse("broker_sig_invalid", detail);
}
