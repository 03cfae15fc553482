import type { ChainReader } from "../chain/reader";
import type { Logger } from "../http/log";
import type { Metrics } from "../http/metrics";
import type { AuditLog } from "../store/audit";
import type { ObjectStore } from "../store/objects";
import type { ReplayStore } from "../store/replay";
import type { VersionStore } from "../store/versions";
import type { CapCache } from "../verify/cap-cache";
import type { SealKeyPair } from "../wire/hpke";
import type { DataClass } from "../wire/names";
import type { BrokerKeys } from "../http/broker-keys";
import type { SignerClient } from "../http/signer-client";

/** What a worker is made of; tests and production build it the same way. */
export interface WorkerParts {
  readonly dataClass: DataClass;
  /** Its public base URL, as devices sign it. */
  readonly origin: string;
  /** The broker's origin, as `iss` of every cap. */
  readonly brokerOrigin: string;
  readonly brokerKeys: BrokerKeys;
  readonly separator: Uint8Array;
  readonly chain: ChainReader;
  readonly replay: ReplayStore;
  readonly objects: ObjectStore;
  readonly versions: VersionStore;
  readonly audit: AuditLog;
  readonly signer: SignerClient;
  readonly cache: CapCache;
  /** For stores that are sealed to this worker. */
  readonly sealKey: SealKeyPair;
  /** False only for migrations on test chains. @see services note 4.2 */
  readonly capPopRequired: boolean;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
}
