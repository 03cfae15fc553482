import { randomBytes } from "node:crypto";

import type { DeviceRecord } from "../../offchain/chain/sidecar-views";
import { serviceLog } from "../../offchain/http/log";
import { Ceremonies } from "../../offchain/signer/vault/kms/ceremonies";
import { kmsLimits } from "../../offchain/signer/vault/kms/limits";
import { KMS_METHODS } from "../../offchain/signer/vault/kms/methods";
import type { KmsParts, KmsRequest, KmsSettings } from "../../offchain/signer/vault/kms/parts";
import type { StandingSource } from "../../offchain/signer/vault/kms/standing";
import { memoryReplay } from "../../offchain/store/memory-replay";
import { SESSION_LIMITS } from "../../offchain/verify/session-operation";
import { type Hex, toHex } from "../../offchain/wire/bytes";
import { type Ceremony, ceremonyChallenge, ceremonyDigest, ceremonyOf } from "../../offchain/wire/ceremony";
import {
  type AgentCredentialAnswer,
  type BeginCeremonyAnswer,
  type BeginCeremonyBody,
  KMS_PATHS,
} from "../../offchain/wire/kms";
import { TIER, actorOmni, operatorOmni } from "../../offchain/wire/names";
import { type Result, ok } from "../../offchain/wire/result";
import { type PackedUserOperation, encodeUserOperation } from "../../offchain/wire/user-operation";
import type { AccessFacts } from "../../offchain/chain/access-facts";
import { encodeExecute } from "../../offchain/client/account-calls";
import { type AssertionWish, type TestAuthenticator, makeAssertion, testAuthenticator } from "./assertion";
import { type OpenVault, type OpenVaultIn, openSealedVault } from "./vault-parts";
import { caseSeparator, goodFacts } from "./verify-case";
import { type ProofWish, type TestDevice, makeProof, testDevice } from "./words";

/** Public base URL of the signer in these cases. */
export const SIGNER = "https://signer.example.org";

const VALIDATOR: Hex = `0x${"5e".repeat(20)}`;
const ENTRY_POINT: Hex = `0x${"ee".repeat(20)}`;

/** One operator of the cases: an account with a passkey, an agent, and a device of each kind. */
export interface KmsParty {
  readonly account: Hex;
  readonly omni: Hex;
  readonly label: string;
  readonly actor: Hex;
  readonly agent: TestDevice;
  readonly master: TestDevice;
  readonly authenticator: TestAuthenticator;
}

/** A proof's wish and what else a request may have changed. */
export interface AskWish {
  readonly bearer?: string;
  readonly proof?: Partial<ProofWish>;
  /** The whole headers, instead of those made here. */
  readonly headers?: { readonly authorization?: string; readonly proof?: string };
}

/**
 * The vault's `/kms` methods with everything real inside: keys of either back end, sealed state, ceremonies, limits, replay memory.
 * The chain says what the test wants, and the clock stands still until the test moves it.
 */
export class KmsBench {
  /** Unix seconds. */
  now = 1_800_000_000;
  /** Milliseconds, of the limits' own clock. */
  monotone = 0;
  readonly separator = caseSeparator();
  readonly settings: KmsSettings;
  readonly parts: KmsParts;
  readonly devices = new Map<Hex, DeviceRecord>();
  readonly facts = new Map<Hex, Partial<AccessFacts>>();
  readonly masters = new Map<Hex, Hex>();
  readonly passkeys = new Map<Hex, readonly TestAuthenticator[]>();
  /** How often each question was put to the chain. */
  readonly asked: string[] = [];
  /** The hash of the head that each question is answered at. */
  headHash: () => Hex = () => toHex(Buffer.alloc(32, 7));

  private constructor(
    readonly vault: OpenVault,
    settings: Partial<KmsSettings>,
  ) {
    this.settings = {
      origin: SIGNER,
      rpId: "example.org",
      rpOrigins: ["https://example.org"],
      credentialSeconds: 259_200,
      sessionRules: {
        domain: { chainId: 31337, entryPoint: ENTRY_POINT, entryPointVersion: "0.8" },
        sessionValidator: VALIDATOR,
        ownContracts: [`0x${"0c".repeat(20)}`],
        paymasters: [],
        ...SESSION_LIMITS,
      },
      ...settings,
    };
    const now = (): number => this.now;
    this.parts = {
      separator: this.separator,
      replay: memoryReplay({ now, fenced: false }),
      keys: vault.keys,
      state: vault.state,
      now,
      log: serviceLog("test", "silent"),
      chain: this.chain(),
      settings: this.settings,
      ceremonies: new Ceremonies(),
      limits: kmsLimits({ now: () => this.monotone }),
    };
  }

  /** Over the vault that `open` makes in this folder, with a sealed file by default. Ask after `keccakReady`. */
  static async in(
    dir: string,
    settings: Partial<KmsSettings> = {},
    open: OpenVaultIn = openSealedVault,
  ): Promise<KmsBench> {
    const clock = { now: () => 1_800_000_000 };
    const vault = await open(dir, () => clock.now());
    const bench = new KmsBench(vault, settings);
    clock.now = () => bench.now;
    return bench;
  }

  async close(): Promise<void> {
    await this.parts.replay.close();
    await this.vault.close();
  }

  private chain(): StandingSource {
    const answer = <T>(name: string, value: T): Promise<Result<T>> => {
      this.asked.push(name);
      return Promise.resolve(ok(value));
    };
    return {
      head: () => ({ hash: this.headHash(), number: 1, timestamp: this.now }),
      getDevice: (hash) => answer("getDevice", this.devices.get(hash)),
      masterOf: (omni) => answer("masterOf", this.masters.get(omni)),
      passkeysOf: (account) =>
        answer(
          "passkeysOf",
          (this.passkeys.get(account) ?? []).map(({ passkey }) => passkey),
        ),
      access: ({ deviceKeyHash }) =>
        answer(
          "access",
          goodFacts({ blockHash: this.headHash(), blockTime: this.now, ...this.facts.get(deviceKeyHash) }),
        ),
    };
  }

  /** A new operator with an agent; both devices are registered, the passkey is the account's. */
  party(label = "agent-a", account = toHex(randomBytes(20))): KmsParty {
    const omni = operatorOmni(account);
    const authenticator = testAuthenticator(this.settings.rpId);
    const party = {
      account,
      omni,
      label,
      actor: actorOmni(omni, label),
      agent: testDevice(),
      master: testDevice(),
      authenticator,
    };
    this.register(party, party.agent, TIER.AGENT, party.actor);
    this.register(party, party.master, TIER.MASTER, omni);
    this.masters.set(omni, account);
    this.passkeys.set(account, [authenticator]);
    return party;
  }

  register(party: Pick<KmsParty, "omni">, device: TestDevice, tier: number, actor: Hex): void {
    const record = { operatorOmni: party.omni, actorOmni: actor, key: device.address, roles: 1, tier };
    this.devices.set(device.hash, { ...record, registeredAt: this.now - 60, revokedAt: 0, generation: 0 });
  }

  /** One request as the front hands it over, with a proof by this device. */
  ask(path: string, body: string | object, device: TestDevice, wish: AskWish = {}): Promise<Result<unknown>> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const bearer = wish.bearer === undefined ? {} : { credential: wish.bearer };
    const words = {
      target: this.settings.origin + path,
      issuedAt: this.now,
      ...bearer,
      ...wish.proof,
      body: wish.proof?.body ?? text,
    };
    const headers = wish.headers ?? {
      ...(wish.bearer === undefined ? {} : { authorization: `AgentKeys ${wish.bearer}` }),
      proof: makeProof(this.separator, device, words).header,
    };
    return this.answer(path, { body: Buffer.from(text), ...headers });
  }

  answer(path: string, request: KmsRequest): Promise<Result<unknown>> {
    const method = KMS_METHODS.get(`POST ${path}`);
    if (method === undefined) throw new Error(`no such route: ${path}`);
    return method(this.parts, request);
  }

  /** Begins a ceremony and fails loudly where that does not work. */
  async begin(
    party: KmsParty,
    body: Partial<BeginCeremonyBody> & object,
    device = party.agent,
  ): Promise<BeginCeremonyAnswer> {
    const asked = { operation: "create", humanKeyId: party.account, label: party.label, ...body };
    return worked(await this.ask(KMS_PATHS.beginCeremony, asked, device)) as BeginCeremonyAnswer;
  }

  /** The ceremony that a client computes for what it asked. */
  ceremony(party: KmsParty, begun: BeginCeremonyAnswer, change: Partial<Ceremony> = {}): Ceremony {
    const subject = { operation: "create", label: party.label, deviceKeyHash: party.agent.hash } as const;
    const place = {
      operatorOmni: party.omni,
      account: party.account,
      signerOrigin: this.settings.origin,
      expiresAt: begun.expiresAt,
    };
    return { ...ceremonyOf(subject, place), ...change };
  }

  /** The passkey's word over a ceremony. */
  tap(party: KmsParty, begun: BeginCeremonyAnswer, change: Partial<Ceremony> = {}, wish: AssertionWish = {}): object {
    const digest = ceremonyDigest(this.separator, this.ceremony(party, begun, change));
    return makeAssertion(party.authenticator, ceremonyChallenge(begun.nonce, digest), wish);
  }

  /** A whole creation, as an honest client does it. */
  async create(party: KmsParty): Promise<AgentCredentialAnswer> {
    const begun = await this.begin(party, {});
    const { label, account: humanKeyId } = party;
    const body = { ceremonyId: begun.ceremonyId, humanKeyId, label, webAuthnAssertion: this.tap(party, begun) };
    return worked(await this.ask(KMS_PATHS.createAgentKey, body, party.agent)) as AgentCredentialAnswer;
  }

  /** A whole refresh or revocation; its answer, whatever it is. */
  async use(
    operation: "refresh" | "revoke",
    party: KmsParty,
    keyId: string,
    device = party.agent,
    wish: AskWish = {},
  ): Promise<Result<unknown>> {
    const begun = await this.begin(party, { operation, keyId }, device);
    const deviceKeyHash = operation === "refresh" ? device.hash : toHex(Buffer.alloc(32));
    const webAuthnAssertion = this.tap(party, begun, { operation, keyId, label: "", deviceKeyHash });
    const path = operation === "refresh" ? KMS_PATHS.refreshAgentCredential : KMS_PATHS.revokeAgentCredential;
    return this.ask(path, { keyId, ceremonyId: begun.ceremonyId, webAuthnAssertion }, device, wish);
  }

  async refresh(party: KmsParty, keyId: string, device = party.agent): Promise<AgentCredentialAnswer> {
    return worked(await this.use("refresh", party, keyId, device)) as AgentCredentialAnswer;
  }

  /** An operation that every session could allow. */
  operation(party: Pick<KmsParty, "account">, change: Partial<PackedUserOperation> = {}): PackedUserOperation {
    const { low, high } = { low: 100_000n, high: 100_000n };
    return {
      sender: party.account,
      nonce: BigInt(VALIDATOR) << 64n,
      initCode: "0x",
      callData: encodeExecute([{ to: `0x${"77".repeat(20)}`, value: 0n, data: "0x12345678" }]),
      accountGasLimits: `0x${((high << 128n) | low).toString(16).padStart(64, "0")}`,
      preVerificationGas: 50_000n,
      gasFees: `0x${((1n << 128n) | 1_000_000_000n).toString(16).padStart(64, "0")}`,
      paymasterAndData: "0x",
      signature: "0x",
      ...change,
    };
  }

  /** The body of `sign-agent` for an operation. */
  signBody(party: Pick<KmsParty, "account">, keyId: string, change: Partial<PackedUserOperation> = {}): object {
    const userOperation = encodeUserOperation(this.operation(party, change));
    return { keyId, userOperation, entryPoint: ENTRY_POINT, chainId: 31337 };
  }

  /** Asks for one signature with this credential. */
  sign(
    party: Pick<KmsParty, "account" | "agent">,
    key: Pick<AgentCredentialAnswer, "keyId" | "agentCredential">,
    wish: AskWish & { readonly device?: TestDevice; readonly body?: object } = {},
  ): Promise<Result<unknown>> {
    const { device = party.agent, body = this.signBody(party, key.keyId), ...rest } = wish;
    return this.ask(KMS_PATHS.signAgent, body, device, { bearer: key.agentCredential, ...rest });
  }
}

/** The value of an answer that must be one. */
export function worked(result: Result<unknown>): unknown {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}

/** The code of a refusal, or `ok`. */
export function codeOf(result: Result<unknown>): string {
  return result.ok ? "ok" : result.failure.code;
}
