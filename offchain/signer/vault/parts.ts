import type { KeyObject } from "node:crypto";

import type { ChainReader } from "../../chain/reader";
import type { Logger } from "../../http/log";
import type { ReplayStore } from "../../store/replay";
import type { CapCache } from "../../verify/cap-cache";
import type { DataClass } from "../../wire/names";
import type { Result } from "../../wire/result";
import type { VaultKeys } from "./keys/vault-keys";
import type { KmsParts } from "./kms/parts";
import type { VaultState } from "./state/vault-state";

/** What the vault decides with; all of it its own, none of it the front's. */
export interface VaultParts {
  readonly separator: Uint8Array;
  readonly chain: ChainReader;
  readonly replay: ReplayStore;
  readonly cache: CapCache;
  /** The pinned broker: `iss`, and its live keys. */
  readonly brokerOrigin: string;
  readonly brokerKeys: { key(kid: string): KeyObject | undefined; ready(): Result<unknown> };
  /** The pinned workers: class → public base URL. */
  readonly workerOrigins: ReadonlyMap<DataClass, string>;
  readonly keys: VaultKeys;
  readonly state: VaultState;
  /** The signer's public base URL: `iss` of its tokens, and the target of agents' requests. */
  readonly publicOrigin: string;
  /** What the methods for agents decide with. */
  readonly kms: KmsParts;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
}
