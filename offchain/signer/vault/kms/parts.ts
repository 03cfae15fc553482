import type { KmsLimits } from "./limits";
import type { SessionRules } from "../../../verify/session-operation";
import type { VaultParts } from "../parts";
import type { Ceremonies } from "./ceremonies";
import type { StandingSource } from "./standing";

/** What the vault's configuration says about agents. */
export interface KmsSettings {
  /** The signer's public base URL: targets of proofs, `iss` of credentials, and what a passkey signs. */
  readonly origin: string;
  /** Relying party of the operators' passkeys. */
  readonly rpId: string;
  /** The only origins whose pages may ask for a passkey. */
  readonly rpOrigins: readonly string[];
  /** Life of a credential, seconds; at most 7 days. */
  readonly credentialSeconds: number;
  /** What is signed for a session, and what is refused. */
  readonly sessionRules: SessionRules;
}

/** What the `/kms` methods decide with. */
export interface KmsParts extends Pick<VaultParts, "separator" | "replay" | "keys" | "state" | "now" | "log"> {
  readonly chain: StandingSource;
  readonly settings: KmsSettings;
  readonly ceremonies: Ceremonies;
  readonly limits: KmsLimits;
}

/** A request as received: nothing of it is believed before it is checked. */
export interface KmsRequest {
  readonly body: Buffer;
  /** The whole value of `Authorization`, where one came. */
  readonly authorization?: string | undefined;
  /** The whole value of `AgentKeys-Proof`, where one came. */
  readonly proof?: string | undefined;
}
