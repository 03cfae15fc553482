import { burnOnce } from "../../../http/burn";
import { orUnavailable } from "../../../http/store-probes";
import { proofEntry, verifyProof } from "../../../verify/proof";
import { parseAgentCredential } from "../../../wire/agent-credential";
import { type Hex, ZERO32 } from "../../../wire/bytes";
import { sha256Hex } from "../../../wire/content-hash";
import { type ProofHeader, credentialHash } from "../../../wire/request-proof";
import { type Failure, type Result, failure, ok, refuse } from "../../../wire/result";
import type { PresentedCredential } from "./credentials";
import type { KmsParts, KmsRequest } from "./parts";

const SCHEME = /^AgentKeys ([^ ]+)$/;

/** The bearer credential that came, of which only the form is known; undefined where none came. `credential_invalid` */
export function readBearer({ authorization }: KmsRequest): Result<PresentedCredential | undefined> {
  if (authorization === undefined) return ok(undefined);
  const text = SCHEME.exec(authorization)?.[1];
  if (text === undefined)
    return refuse("credential_invalid", "The scheme of the Authorization header is not AgentKeys.");
  const parsed = parseAgentCredential(text);
  return parsed.ok ? ok({ text, parsed: parsed.value }) : parsed;
}

/**
 * The device's proof for just this request: POST to the signer's own origin and this path, this body, this bearer (or
 * none). Where a bearer names its device, that one must have made it. @see protocol 3.2, 3.8
 */
export function proveRequest(
  parts: KmsParts,
  path: string,
  request: KmsRequest,
  bearer: PresentedCredential | undefined,
  device?: Hex,
): Result<ProofHeader> {
  if (request.proof === undefined) return refuse("proof_invalid", "There is no AgentKeys-Proof header.", "missing");
  const proved = verifyProof({
    proofText: request.proof,
    method: "POST",
    target: parts.settings.origin + path,
    bodyHash: sha256Hex(request.body),
    credentialHash: bearer === undefined ? ZERO32 : credentialHash(bearer.text),
    ...(device === undefined ? {} : { device }),
    separator: parts.separator,
    now: parts.now(),
  });
  return proved.ok ? ok(proved.value.proof) : proved;
}

/** A device by its proof of this request, and the bearer that came along, where one did and whatever it is worth. */
export interface ProvedCaller {
  readonly proof: ProofHeader;
  readonly bearer: PresentedCredential | undefined;
}

/** Bearer and proof of a request that needs the proof alone: whose device it is, is the proof's own word. */
export function proveCaller(parts: KmsParts, path: string, request: KmsRequest): Result<ProvedCaller> {
  const bearer = readBearer(request);
  if (!bearer.ok) return bearer;
  const proof = proveRequest(parts, path, request, bearer.value);
  return proof.ok ? ok({ proof: proof.value, bearer: bearer.value }) : proof;
}

/** A bearer must be for the key that the request names. `credential_invalid` */
export function credentialNamesKey({ parsed }: PresentedCredential, keyId: string): Failure | undefined {
  const { walletId, agentIndex } = parsed.claims;
  return keyId === `${walletId}:${String(agentIndex)}`
    ? undefined
    : failure("credential_invalid", "The credential is for another key.");
}

/** Lets a proof be used once; asked when nothing but limits and the vault itself can refuse any more. */
export function burnProof(parts: KmsParts, proof: ProofHeader): Promise<Result<undefined>> {
  return burnOnce(parts, "the vault", [proofEntry("signer", proof)]);
}

/** A change of the vault's state, or `storage_unavailable` where it could not be made durable. */
export function durably<T>(parts: Pick<KmsParts, "log">, change: () => Promise<T>): Promise<Result<T>> {
  return orUnavailable("storage_unavailable", parts.log, change);
}
