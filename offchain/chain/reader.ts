import { performance } from "node:perf_hooks";

import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type AccessFacts, type AccessQuery, decodeAccessFacts, encodeCheckAccess } from "./access-facts";
import { decodeCommitment, decodeEpoch, encodeCommitmentOf, encodeCurrentEpoch } from "./epoch-views";
import { type AgreedHead, followHead } from "./followed-head";
import { type Head, endpoint } from "./head";
import { type Passkey, decodePasskeys, encodePasskeys } from "./passkeys";
import { type ChainProfileName, CHAIN_PROFILES, maxHeadAge } from "./profiles";
import { type BlockRead, readAt } from "./read-at";
import { httpRpc } from "./rpc";
import { type DeviceRecord, decodeDevice, decodeMaster, encodeGetDevice, encodeMasterOf } from "./sidecar-views";
import { type RegistryAddresses, startChecks } from "./start-checks";

/** How a read was answered, for metrics. */
export type ReadOutcome = "cached" | "read" | "refused";

/** What a reader is built from. */
export interface ChainReaderOptions {
  /** HTTP JSON-RPC endpoints of the one chain. */
  readonly rpcUrls: readonly string[];
  /** How many of them must agree on block and answer. @see protocol 3.5 (`CHAIN_QUORUM`) */
  readonly quorum: number;
  readonly chainId: number;
  readonly contracts: RegistryAddresses;
  readonly profile: ChainProfileName;
  /** Unix seconds. */
  readonly now: () => number;
  /** Milliseconds for one RPC call with its retry; 2,000 by default. */
  readonly deadlineMs?: number;
  /** Milliseconds between two questions for the head; 500 by default. */
  readonly pollMs?: number;
  /** Called after each read of the chain or of the cache. */
  readonly onRead?: (outcome: ReadOutcome) => void;
}

/** Asks the contracts. Every failure is `chain_unavailable`; nothing else is ever refused here. */
export interface ChainReader {
  /** All facts of one decision at one block. @see protocol 3.5 */
  access(query: AccessQuery): Promise<Result<AccessFacts>>;
  /** SHA-256("agentkeys-k3-commit" ‖ uint64 epoch ‖ K3); zero for an epoch that is not yet. */
  k3Commitment(epoch: number): Promise<Result<Hex>>;
  /** What the client's check of a fetched object needs; undefined for a hash that was never registered. @see protocol 3.4 */
  getDevice(deviceKeyHash: Hex): Promise<Result<DeviceRecord | undefined>>;
  /** The account that speaks for the operator, lowercase; undefined for an unknown omni. */
  masterOf(operatorOmni: Hex): Promise<Result<Hex | undefined>>;
  /** Every passkey of a master account, at most 16; none where no contract is. @see protocol 3.8 */
  passkeysOf(account: Hex): Promise<Result<readonly Passkey[]>>;
  /** The start-up checks of protocol 3.5, at the newest head; the detail says which failed. */
  ready(): Promise<Result<Head>>;
  /** The last agreed head, for display. */
  head(): Head | undefined;
  close(): Promise<void>;
}

/** Milliseconds for which a confirmation of the head is good. @see protocol 3.5 */
const CONFIRMED_MS = 1_000;
const MAX_CACHED = 10_000;
// an operator rotates about yearly, and at most hourly
const MAX_COMMITMENTS = 1_024;

/**
 * A reader over one or several RPCs. An answer lives as long as the head it was read at: the cache is one map that a
 * new head empties. Durations are measured with `performance.now()`; the time of day comes only from `now`.
 */
export function chainReader(options: ChainReaderOptions): ChainReader {
  const { chainId, contracts, quorum, now, onRead } = options;
  if (quorum < 1 || quorum > options.rpcUrls.length) throw new RangeError("quorum is 1 to the number of RPC URLs");
  const profile = CHAIN_PROFILES[options.profile];
  const maxAge = maxHeadAge(profile);
  const endpoints = options.rpcUrls.map((url, i) =>
    endpoint(httpRpc(url, options.deadlineMs ?? 2_000), i + 1, chainId, profile),
  );
  const accesses = new Map<string, Promise<Result<AccessFacts>>>();
  const reads = new Map<string, Promise<Result<Hex>>>();
  const commitments = new Map<number, Hex>();
  const followed = followHead({
    endpoints,
    quorum,
    pollMs: options.pollMs ?? 500,
    onNewHead() {
      accesses.clear();
      reads.clear();
    },
  });

  function isYoung(head: Head): boolean {
    return now() - head.timestamp <= maxAge;
  }

  /** The followed head; at once where its confirmation is good. */
  function headForDecision(): Result<AgreedHead> | Promise<Result<AgreedHead>> {
    const agreed = followed.current();
    const isGood = agreed !== undefined && performance.now() - agreed.confirmedAt <= CONFIRMED_MS;
    return isGood && isYoung(agreed.head) ? ok(agreed) : confirmedHead();
  }

  async function confirmedHead(): Promise<Result<AgreedHead>> {
    const arrived = performance.now();
    for (;;) {
      const agreed = await followed.confirm();
      if (typeof agreed === "string") return unavailable(agreed);
      if (!isYoung(agreed.head)) return unavailable("the newest block is too old");
      // a question that was already under way may be older than what this caller is owed
      if (agreed.confirmedAt >= arrived - CONFIRMED_MS) return ok(agreed);
    }
  }

  /** One read at the head; a second try where the first head or endpoint turned out to be gone. */
  async function readFrom(first: AgreedHead, read: BlockRead): Promise<Result<{ head: Head; answer: Hex }>> {
    const reply = await readAt(first, quorum, read);
    if ("answer" in reply) return ok({ head: first.head, answer: reply.answer });
    for (const one of reply.failed) followed.suspect(one);
    const again = await confirmedHead();
    if (!again.ok) return again;
    if (again.value.head.hash === first.head.hash && isSame(again.value.servers, first.servers)) {
      return unavailable(reply.words);
    }
    const second = await readAt(again.value, quorum, read);
    return "answer" in second ? ok({ head: again.value.head, answer: second.answer }) : unavailable(second.words);
  }

  async function readAccess(query: AccessQuery, agreed: AgreedHead): Promise<Result<AccessFacts>> {
    const params = [{ to: contracts.scopeRegistry, data: encodeCheckAccess(query) }];
    const read = await readFrom(agreed, { method: "eth_call", params });
    if (!read.ok) return read;
    const facts = decodeAccessFacts(read.value.answer, read.value.head, chainId);
    return facts === undefined ? unavailable("checkAccess answered with something that is no answer") : ok(facts);
  }

  /** A read of any other kind, cached and shared like `access`. */
  async function view(read: BlockRead): Promise<Result<Hex>> {
    const agreed = await headForDecision();
    if (!agreed.ok) return agreed;
    // by its head: one that came since has emptied the cache, and this answer is not of it
    return remember(reads, `${agreed.value.head.hash} ${JSON.stringify(read)}`, async () => {
      const reply = await readFrom(agreed.value, read);
      return reply.ok ? ok(reply.value.answer) : reply;
    });
  }

  const call = (to: Hex, data: Hex): Promise<Result<Hex>> => view({ method: "eth_call", params: [{ to, data }] });

  function remember<T>(
    cache: Map<string, Promise<Result<T>>>,
    key: string,
    read: () => Promise<Result<T>>,
  ): Promise<Result<T>> {
    const cached = cache.get(key);
    if (cached !== undefined) {
      onRead?.("cached");
      return cached;
    }
    const reading = read().then((result) => {
      onRead?.(result.ok ? "read" : "refused");
      if (!result.ok && cache.get(key) === reading) cache.delete(key);
      return result;
    });
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(key, reading);
    return reading;
  }

  return {
    async access(query) {
      const agreed = await headForDecision();
      if (!agreed.ok) return agreed;
      return remember(accesses, keyOf(query), () => readAccess(query, agreed.value));
    },

    async k3Commitment(epoch) {
      const settled = commitments.get(epoch);
      if (settled !== undefined) return ok(settled);
      const read = await call(contracts.k3EpochCounter, encodeCommitmentOf(epoch));
      if (!read.ok) return read;
      const commitment = decodeCommitment(read.value);
      if (commitment === undefined) return unavailable("commitmentOf answered with something that is no answer");
      const current = await call(contracts.k3EpochCounter, encodeCurrentEpoch());
      if (!current.ok) return current;
      const currentEpoch = decodeEpoch(current.value);
      if (currentEpoch === undefined) return unavailable("currentEpoch answered with something that is no answer");
      // written once, before the epoch that followed: only a re-organisation deeper than a whole epoch could change it
      if (epoch < currentEpoch && commitments.size < MAX_COMMITMENTS) commitments.set(epoch, commitment);
      return ok(commitment);
    },

    async getDevice(deviceKeyHash) {
      const read = await call(contracts.sidecarRegistry, encodeGetDevice(deviceKeyHash));
      if (!read.ok) return read;
      const device = decodeDevice(read.value);
      if (device === undefined) return unavailable("getDevice answered with something that is no answer");
      return ok(device.record);
    },

    async masterOf(operatorOmni) {
      const read = await call(contracts.sidecarRegistry, encodeMasterOf(operatorOmni));
      if (!read.ok) return read;
      const master = decodeMaster(read.value);
      if (master === undefined) return unavailable("masterOf answered with something that is no answer");
      return ok(master.account);
    },

    async passkeysOf(account) {
      const read = await call(account, encodePasskeys());
      if (!read.ok) return read;
      const passkeys = decodePasskeys(read.value);
      return passkeys === undefined ? unavailable("passkeys answered with something that is no answer") : ok(passkeys);
    },

    async ready() {
      const agreed = await confirmedHead();
      if (!agreed.ok) return agreed;
      const failed = await startChecks({ chainId, contracts, view });
      return failed ?? ok(agreed.value.head);
    },

    head: () => followed.current()?.head,

    async close() {
      followed.close();
      await Promise.all(endpoints.map(({ rpc }) => rpc.close()));
    },
  };
}

function keyOf({ deviceKeyHash, operatorOmni, actorOmni, dataClass, service }: AccessQuery): string {
  return deviceKeyHash + operatorOmni + actorOmni + dataClass + service;
}

function isSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function unavailable(detail: string): Result<never> {
  return refuse("chain_unavailable", `The chain cannot be asked: ${detail}.`);
}
