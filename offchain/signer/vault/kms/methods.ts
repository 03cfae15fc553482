import { KMS_PATHS } from "../../../wire/kms";
import type { Result } from "../../../wire/result";
import { beginCeremony } from "./begin";
import { createAgentKey } from "./create";
import type { KmsParts, KmsRequest } from "./parts";
import { refreshAgentCredential } from "./refresh";
import { revokeAgentCredential } from "./revoke";
import { signAgent } from "./sign";

/** One method of the vault for agents. */
export type KmsMethod = (parts: KmsParts, request: KmsRequest) => Promise<Result<unknown>>;

/** All of them, by `POST <path>`. None takes a name, a digest or a set of claims. @see protocol 3.8 */
export const KMS_METHODS: ReadonlyMap<string, KmsMethod> = new Map<string, KmsMethod>([
  [`POST ${KMS_PATHS.beginCeremony}`, beginCeremony],
  [`POST ${KMS_PATHS.createAgentKey}`, createAgentKey],
  [`POST ${KMS_PATHS.signAgent}`, signAgent],
  [`POST ${KMS_PATHS.refreshAgentCredential}`, refreshAgentCredential],
  [`POST ${KMS_PATHS.revokeAgentCredential}`, revokeAgentCredential],
]);
