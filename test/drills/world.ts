import { createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { type Contract, JsonRpcProvider, NonceManager, Wallet } from "ethers";
import { Agent } from "undici";

import { readerRefusal } from "../../offchain/client/reader-check";
import { type Hex, fromBase64url, toHex } from "../../offchain/wire/bytes";
import { parseCap } from "../../offchain/wire/cap";
import type { CapRequest } from "../../offchain/wire/cap-request";
import { contentHash, sha256Hex } from "../../offchain/wire/content-hash";
import { DATA_KEYS_PATH } from "../../offchain/wire/data-keys";
import { deviceBindingDigest } from "../../offchain/wire/device-binding";
import { type Domain, domainSeparator } from "../../offchain/wire/eip712";
import { generateSealKeyPair, hpkeOpen } from "../../offchain/wire/hpke";
import { publicJwk } from "../../offchain/wire/jwks";
import { mintPath } from "../../offchain/wire/mint";
import { type Op, actorOmni, objectPath, operatorOmni, serviceHash } from "../../offchain/wire/names";
import { decryptObject, encodeObjectHeader, parseObject } from "../../offchain/wire/object";
import {
  REPLY_INFO,
  encodeStoreBody,
  parseFetchAnswer,
  parseWriteAnswer,
  redeemPath,
} from "../../offchain/wire/redeem";
import { signDigest } from "../../offchain/wire/secp256k1";
import { storedBy } from "../../offchain/wire/stored-by";
import type { Stack } from "../../scripts/lib/stack";
import { ScopeRegistry__factory, SidecarRegistry__factory } from "../../typechain-types";
import { type Answer, post, redeemHeaders } from "../helpers/http";
import {
  type CapWish,
  type ProofWish,
  type TestDevice,
  capRequest,
  makeProof,
  mintBody,
  testDevice,
} from "../helpers/words";
import type { DrillLog } from "./drill";

const ZERO = `0x${"00".repeat(32)}` as const;

/** An operator with its own funded key, an agent, and a device of each. */
export interface Party {
  readonly wallet: Wallet;
  readonly omni: Hex;
  readonly actor: Hex;
  readonly agentDevice: TestDevice;
  readonly masterDevice: TestDevice;
}

/**
 * What every drill has: a running stack of real processes, an operator with an agent whose grant for `service` is
 * live and whose credential is stored, and the hands of an attacker who holds what the drill says.
 */
export class World {
  readonly provider: JsonRpcProvider;
  readonly domain: Domain;
  readonly separator: Buffer;
  readonly service = "openrouter";
  readonly #vaultDoor: Agent;
  #party: Party | undefined;
  #counter = 0;
  /** The epoch that honest caps name. */
  epoch = 1;

  private constructor(readonly stack: Stack) {
    this.provider = new JsonRpcProvider(stack.rpcUrl, stack.chainId, {
      staticNetwork: true,
      cacheTimeout: -1,
      batchMaxCount: 1,
    });
    this.provider.pollingInterval = 50;
    this.domain = { chainId: stack.chainId, registry: stack.contracts.SidecarRegistry.toLowerCase() as Hex };
    this.separator = domainSeparator(this.domain);
    this.#vaultDoor = new Agent({
      connect: { ...stack.workerTls("credentials"), checkServerIdentity: () => undefined },
    });
  }

  /** Makes the party and stores its first credential. */
  static async over(stack: Stack): Promise<World> {
    const world = new World(stack);
    world.#party = await world.newParty();
    await world.store("sk-real-0");
    return world;
  }

  async close(): Promise<void> {
    this.provider.destroy();
    await this.#vaultDoor.close();
  }

  get party(): Party {
    if (this.#party === undefined) throw new Error("the world has no party yet");
    return this.#party;
  }

  /** Does something as another party. */
  async as(party: Party, act: () => Promise<void>): Promise<void> {
    const before = this.#party;
    this.#party = party;
    try {
      await act();
    } finally {
      this.#party = before;
    }
  }

  /** The funded development account, which also governs the epochs of the stack. */
  get developer(): Wallet {
    return new Wallet(this.stack.developmentKey, this.provider);
  }

  /** Moves the chain's clock, and no service's. */
  async passTime(seconds: number): Promise<void> {
    await this.provider.send("evm_increaseTime", [seconds]);
    await this.provider.send("evm_mine", []);
  }

  get agentDevice(): TestDevice {
    return this.party.agentDevice;
  }

  get registry(): ReturnType<typeof SidecarRegistry__factory.connect> {
    return SidecarRegistry__factory.connect(this.stack.contracts.SidecarRegistry, this.party.wallet);
  }

  /** A funded account that is nobody's operator yet. */
  async newWallet(): Promise<Wallet> {
    const wallet = new Wallet(toHex(randomBytes(32)), this.provider);
    await this.provider.send("hardhat_setBalance", [wallet.address, "0x3635c9adc5dea00000"]);
    return wallet;
  }

  /** Registers an operator, a master device, an agent with a device, and grants it everything on `service`. */
  async newParty(label = "agent-a"): Promise<Party> {
    const wallet = await this.newWallet();
    const signer = new NonceManager(wallet);
    const registry = SidecarRegistry__factory.connect(this.stack.contracts.SidecarRegistry, signer);
    const scopes = ScopeRegistry__factory.connect(this.stack.contracts.ScopeRegistry, signer);
    const omni = operatorOmni(wallet.address);
    const actor = actorOmni(omni, label);
    const [agentDevice, masterDevice] = [testDevice(), testDevice()];
    await (await registry.registerOperator()).wait();
    const deadline = await this.deadline();
    const master = this.binding(masterDevice, omni, omni, 7, deadline);
    await (await registry.registerMasterDevice(masterDevice.address, 7, ZERO, ZERO, deadline, master)).wait();
    const agent = this.binding(agentDevice, omni, actor, 1, deadline);
    await (await registry.registerAgentDevice(label, agentDevice.address, ZERO, deadline, agent)).wait();
    await (
      await scopes.setGrants(actor, [
        { dataClass: 1, serviceHash: serviceHash(this.service), ops: 7, validUntil: 2n ** 40n - 1n },
      ])
    ).wait();
    await this.nextBlock();
    return { wallet, omni, actor, agentDevice, masterDevice };
  }

  /** An hour ahead of the chain's clock, which drills move. */
  async deadline(seconds = 3_600): Promise<number> {
    return ((await this.provider.getBlock("latest"))?.timestamp ?? 0) + seconds;
  }

  /** A device's consent. */
  binding(device: TestDevice, operator: Hex, actor: Hex, roles: number, deadline: number): Hex {
    const digest = deviceBindingDigest(this.separator, {
      operatorOmni: operator,
      actorOmni: actor,
      deviceKey: device.address,
      roles,
      attestationHash: ZERO,
      deadline,
    });
    return signDigest(digest, device.secret);
  }

  /** The name of a contract's custom error, or undefined where the transaction would succeed. */
  async revertName(contract: Contract | { interface: unknown }, call: Promise<unknown>): Promise<string | undefined> {
    try {
      await call;
      return undefined;
    } catch (error) {
      const revert = (error as { revert?: { name?: string } | null }).revert;
      return revert?.name ?? (error as { shortMessage?: string }).shortMessage ?? "unknown";
    }
  }

  /** What the broker's disk holds: the key that signs now. */
  async stolenBroker(): Promise<{ key: ReturnType<typeof createPrivateKey>; kid: string; origin: string }> {
    const key = createPrivateKey(readFileSync(await this.stack.currentBrokerKeyFile()));
    return { key, kid: publicJwk(key).kid, origin: this.stack.urls.broker };
  }

  /** A cap of the party's agent on `service`. */
  cap(wish: Partial<CapWish> & { readonly op: Op }): CapRequest {
    const { omni, actor, agentDevice } = this.party;
    return capRequest(agentDevice, {
      operatorOmni: omni,
      actorOmni: actor,
      service: this.service,
      k3Epoch: this.epoch,
      ...wish,
    });
  }

  /** Mints honestly, and whatever the broker has seen of the device's proofs while doing so. */
  async mint(
    op: Op,
    wish: Partial<CapWish> = {},
    device = this.agentDevice,
  ): Promise<{ cap: string; request: CapRequest; mintProofs: string[] }> {
    const request = { ...this.cap({ op, ...wish }), deviceKeyHash: device.hash };
    const answer = await this.mintRaw(op, mintBody(this.separator, device, request));
    if (typeof answer.json?.["cap"] !== "string")
      throw new Error(`mint ${op}: ${String(answer.status)} ${answer.body.toString()}`);
    const cap = answer.json["cap"];
    const target = `${this.stack.urls.broker}/v1/events`;
    const seen = makeProof(this.separator, device, { target, body: "", credential: cap, method: "GET" });
    return { cap, request, mintProofs: [seen.header] };
  }

  /** A mint body that the party's agent device signed. */
  mintBody(request: CapRequest): string {
    return mintBody(this.separator, this.agentDevice, request);
  }

  mintRaw(op: Op, body: string): Promise<Answer> {
    return post(this.stack.urls.broker + mintPath(op, "credentials"), body);
  }

  /** The target of a route of the credentials worker. */
  target(op: Op): string {
    return this.stack.urls.worker.credentials + redeemPath(op === "classify" ? "fetch" : op, "credentials");
  }

  /** Redeems at the worker with a proof by this device. */
  redeem(device: TestDevice, op: Op, cap: string, wish: Partial<ProofWish> = {}): Promise<Answer> {
    const body = wish.body ?? bodyOf(op);
    const proof = makeProof(this.separator, device, { target: this.target(op), credential: cap, ...wish, body });
    return post(this.target(op), Buffer.from(body), redeemHeaders(cap, proof.header));
  }

  /** Redeems at the worker with this very header, or none. */
  redeemRaw(op: Op, cap: string, proof: string | undefined, body = bodyOf(op)): Promise<Answer> {
    const headers = proof === undefined ? { authorization: `AgentKeys ${cap}` } : redeemHeaders(cap, proof);
    return post(this.target(op), body, headers);
  }

  /** Calls the vault through the front with the worker's own certificate, as a thief of the worker can. */
  askVault(
    device: TestDevice,
    op: Op,
    cap: string,
    wish: Partial<ProofWish> = {},
    change: Record<string, unknown> = {},
  ): Promise<Answer> {
    const body = wish.body ?? bodyOf(op);
    const target = wish.target ?? this.target(op);
    const proof = makeProof(this.separator, device, { credential: cap, ...wish, target, body });
    const words = { cap, proof: proof.header, method: "POST", target, body_hash: sha256Hex(Buffer.from(body)) };
    return this.askVaultRaw({ ...words, ...this.objectWords(op, cap), ...change });
  }

  askVaultRaw(words: Record<string, unknown>): Promise<Answer> {
    return post(this.stack.urls.signer + DATA_KEYS_PATH, JSON.stringify(words), {}, this.#vaultDoor);
  }

  /** The object as it lies in the folder. */
  objectFile(service = this.service, party = this.party): string {
    return `${this.stack.files.objects}/${objectPath(party.actor, "credentials", service)}`;
  }

  /** Stores a credential as the agent's own device, and fails loudly where that does not work. */
  async store(
    secret: string,
    wish: Partial<CapWish> = {},
    device = this.agentDevice,
  ): Promise<{ version: number; digest: Hex }> {
    const salt = toHex(randomBytes(32));
    const { cap } = await this.mint("store", { contentHash: contentHash(salt, Buffer.from(secret)), ...wish }, device);
    const answer = await this.redeem(device, "store", cap, { body: encodeStoreBody(Buffer.from(secret), salt) });
    const written = parseWriteAnswer(answer.body);
    if (answer.status !== 200 || written === undefined)
      throw new Error(`store: ${String(answer.status)} ${answer.body.toString()}`);
    return written;
  }

  /** Fetches as the agent's device; the plaintext, or the refusal. */
  async fetch(device = this.agentDevice, wish: Partial<CapWish> = {}): Promise<{ secret?: string; answer: Answer }> {
    const { cap } = await this.mint("fetch", wish, device);
    const pair = await generateSealKeyPair();
    const proof = makeProof(this.separator, device, {
      target: this.target("fetch"),
      credential: cap,
      body: "{}",
      sealTo: pair.publicKey,
    });
    const answer = await post(this.target("fetch"), "{}", redeemHeaders(cap, proof.header));
    const sealed = fromBase64url(answer.json?.["sealed"]);
    if (answer.status !== 200 || sealed === undefined) return { answer };
    const opened = await hpkeOpen(pair, Buffer.concat([Buffer.from(REPLY_INFO), proof.digest]), sealed);
    const read = opened === undefined ? undefined : parseFetchAnswer(opened);
    return read === undefined ? { answer } : { secret: read.plaintext.toString(), answer };
  }

  /** What the client's reader says of an object that a hostile worker answers with. */
  async readerRefuses(object: Buffer, contentKey: Buffer): Promise<string | undefined> {
    const parsed = parseObject(object);
    const plaintext = parsed === undefined ? undefined : decryptObject(parsed, contentKey);
    if (parsed === undefined || plaintext === undefined) return "closed";
    const { header } = parsed;
    const answer = {
      payload_b64: plaintext.toString("base64url"),
      content_salt: header.contentSalt,
      version: header.version,
      stored_by: header.storedBy,
    };
    const device = await this.registry.getDevice(header.storedBy.device_key_hash);
    const storer = {
      operatorOmni: device.operatorOmni as Hex,
      actorOmni: device.actorOmni as Hex,
      key: device.key.toLowerCase() as Hex,
      roles: Number(device.roles),
      tier: Number(device.tier),
      registeredAt: Number(device.registeredAt),
      revokedAt: Number(device.revokedAt),
      generation: Number(device.generation),
    };
    const { separator } = this;
    return readerRefusal({ name: header.name, answer, plaintext, separator, storer, mark: undefined })?.code;
  }

  async storeHonestly(log: DrillLog): Promise<string> {
    this.#counter += 1;
    const secret = `sk-real-${String(this.#counter)}`;
    log.honest("store", (await this.store(secret)).version > 0);
    return secret;
  }

  async fetchHonestly(log: DrillLog, expected?: string): Promise<void> {
    const { secret, answer } = await this.fetch();
    const worked = secret !== undefined && (expected === undefined || secret === expected);
    log.honest("fetch", worked, worked ? "" : `${String(answer.status)} ${answer.body.toString()}`);
  }

  /** Mines one block, so that what was just changed on chain is the newest head, and waits until it is followed. */
  async nextBlock(): Promise<void> {
    await this.provider.send("evm_mine", []);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
  }

  private objectWords(op: Op, cap: string): Record<string, unknown> {
    const parsed = parseCap(cap);
    const stored = parseObject(readFileSync(this.objectFile()));
    if (!parsed.ok || stored === undefined) throw new Error("no cap or no object to ask the vault with");
    const { request, clientSig } = parsed.value.claims;
    const sig = (typeof clientSig === "string" ? clientSig : ZERO) as Hex;
    const next = encodeObjectHeader({
      name: {
        operatorOmni: request.operatorOmni,
        actorOmni: request.actorOmni,
        dataClass: request.dataClass,
        service: request.service,
      },
      epoch: request.k3Epoch,
      version: stored.header.version + 1,
      contentSalt: toHex(randomBytes(32)),
      storedBy: op === "rotate" ? stored.header.storedBy : storedBy(request, sig),
    });
    if (op === "store") return { header: next };
    const asRead = { header: stored.headerText, encrypted_key: stored.encryptedKey };
    return op === "rotate" ? { ...asRead, next_header: next } : asRead;
  }
}

/** An empty payload for store, `{}` for the rest. */
function bodyOf(op: Op): string {
  return op === "store" ? encodeStoreBody(Buffer.alloc(0), ZERO) : "{}";
}
