import { randomUUID } from "node:crypto";

import { burnOnce } from "../../http/burn";
import { firstFailure } from "../../verify/check";
import { proofEntry, verifyProof } from "../../verify/proof";
import { ZERO32, toBase64url } from "../../wire/bytes";
import { sha256Hex } from "../../wire/content-hash";
import type { DataClass } from "../../wire/names";
import { parseEmptyBody } from "../../wire/redeem";
import { type Result, failure, ok, refuse } from "../../wire/result";
import {
  ACTOR_TAG,
  STS_ROUTES,
  STS_TOKEN_SECONDS,
  type StsAnswer,
  type StsRequest,
  parseStsRequest,
  stsAudience,
} from "../../wire/sts";
import type { SigningUse } from "./keys/vault-keys";
import { type Standing, activeDevice, standingOf } from "./kms/standing";
import type { VaultParts } from "./parts";

/** The claim in which AWS STS looks for session tags. */
const AWS_TAGS = "https://aws.amazon.com/tags";

/**
 * An OIDC token for the cloud's STS, for the device that made the request and for nobody the broker names: the actor is
 * the chain's word for that device. Nothing in it is chosen by the caller but the class, which the device signed as
 * part of its target. @see protocol 3.7
 */
export async function stsCredentials(parts: VaultParts, _caller: string, body: Buffer): Promise<Result<StsAnswer>> {
  const parsed = parseStsRequest(body);
  if (!parsed.ok) return parsed;
  const words = parsed.value;
  const dataClass = pinnedClass(parts, words);
  if (!dataClass.ok) return dataClass;
  const deviceBody = Buffer.from(words.body);
  const empty = parseEmptyBody(deviceBody);
  if (!empty.ok) return empty;
  const now = parts.now();
  const proved = verifyProof({
    proofText: words.proof,
    method: words.method,
    target: words.target,
    bodyHash: sha256Hex(deviceBody),
    credentialHash: ZERO32,
    separator: parts.separator,
    now,
  });
  if (!proved.ok) return proved;
  const { proof } = proved.value;
  const standing = await standingOf(parts.chain, proof.deviceKeyHash, false);
  if (!standing.ok) return standing;
  const refused = firstFailure([activeDevice, deviceMayMint], standing.value);
  if (refused !== undefined) return { ok: false, failure: refused };
  const burned = await burnOnce(parts, "the vault", [proofEntry("signer", proof)]);
  if (!burned.ok) return burned;
  const actor = standing.value.device.actorOmni;
  const claims = {
    iss: parts.publicOrigin,
    sub: actor,
    aud: stsAudience(dataClass.value),
    iat: now,
    exp: now + STS_TOKEN_SECONDS,
    jti: randomUUID(),
    [AWS_TAGS]: { principal_tags: { [ACTOR_TAG]: [actor] }, transitive_tag_keys: [ACTOR_TAG] },
  };
  return ok({ token: await signedJwt(parts, "sts", "JWT", claims), expires_at: claims.exp });
}

/** A compact JWS over claims that the vault composed, ES256. @see RFC 7515 */
export async function signedJwt(parts: VaultParts, use: SigningUse, typ: string, claims: object): Promise<string> {
  const kid = parts.keys.publicJwks(use).keys[0]?.kid;
  const part = (value: object): string => toBase64url(JSON.stringify(value));
  const signed = `${part({ alg: "ES256", typ, kid })}.${part(claims)}`;
  const by = await parts.keys.signEs256(use, Buffer.from(signed));
  if (by.kid !== kid) throw new Error("the key changed while a token was signed");
  return `${signed}.${toBase64url(by.signature)}`;
}

/** What a cloud reads before it believes a token. @see https://openid.net/specs/openid-connect-discovery-1_0.html */
export function openidConfiguration(parts: VaultParts): Result<unknown> {
  return ok({
    issuer: parts.publicOrigin,
    jwks_uri: `${parts.publicOrigin}/.well-known/jwks.json`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
    claims_supported: ["iss", "sub", "aud", "iat", "exp", "jti", AWS_TAGS],
  });
}

function deviceMayMint({ facts }: Standing) {
  return facts.deviceMayMint ? undefined : failure("device_role_missing", "The device lacks the role CAP_MINT.");
}

/** POST to a listed path of the pinned broker. */
function pinnedClass(parts: VaultParts, words: StsRequest): Result<DataClass> {
  const route = STS_ROUTES.find((one) => words.target === parts.brokerOrigin + one.path);
  if (route !== undefined && words.method === "POST") return ok(route.dataClass);
  return refuse("proof_invalid", "The request was not made for the broker that this vault knows.", "mismatch");
}
