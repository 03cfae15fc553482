import { orUnavailable } from "../../../http/store-probes";
import { proofEntry, verifyProof } from "../../../verify/proof";
import { parseAgentCredential } from "../../../wire/agent-credential";
import { type Hex, ZERO32 } from "../../../wire/bytes";
import { sha256Hex } from "../../../wire/content-hash";
import { type ProofHeader, credentialHash } from "../../../wire/request-proof";
import { type Result, ok, refuse } from "../../../wire/result";
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

/** Lets a proof be used once; asked when nothing but limits and the vault itself can refuse any more. */
export async function burnProof(parts: KmsParts, proof: ProofHeader): Promise<Result<undefined>> {
  const entries = [proofEntry("signer", proof)];
  const answer = await orUnavailable("replay_store_unavailable", parts.log, () => parts.replay.setOnce(entries));
  if (!answer.ok) return answer;
  if (answer.value.outcome === "fresh") return ok(undefined);
  return answer.value.outcome === "replayed"
    ? refuse("proof_invalid", "This proof was seen before.", "replayed")
    : refuse("proof_invalid", "This proof is older than the vault's memory.", "stale");
}

/** A change of the vault's state, or `storage_unavailable` where it could not be made durable. */
export function durably<T>(parts: Pick<KmsParts, "log">, change: () => Promise<T>): Promise<Result<T>> {
  return orUnavailable("storage_unavailable", parts.log, change);
}
