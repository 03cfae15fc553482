import { generateKeyPairSync } from "node:crypto";
import type { ServerResponse } from "node:http";

import type { JsonRpcSigner } from "ethers";

import { type ChainReader, chainReader } from "../../offchain/chain/reader";
import { type Client, type ClientOptions, type ObjectWish, createClient } from "../../offchain/client/client";
import { deviceKey } from "../../offchain/client/device-key-file";
import { memoryMarks } from "../../offchain/client/high-water-marks";
import { type Hex, toBase64url } from "../../offchain/wire/bytes";
import { contentHash, sha256Hex } from "../../offchain/wire/content-hash";
import { deviceBindingDigest } from "../../offchain/wire/device-binding";
import { domainSeparator } from "../../offchain/wire/eip712";
import { hpkeSeal } from "../../offchain/wire/hpke";
import { publicJwk } from "../../offchain/wire/jwks";
import { keccakReady } from "../../offchain/wire/keccak";
import { MINT_ROUTES, parseMint } from "../../offchain/wire/mint";
import { actorOmni, operatorOmni } from "../../offchain/wire/names";
import { REPLY_INFO } from "../../offchain/wire/redeem";
import { credentialHash, parseProofHeader, requestProofDigest } from "../../offchain/wire/request-proof";
import { signDigest } from "../../offchain/wire/secp256k1";
import { type StoredBy, storedBy } from "../../offchain/wire/stored-by";
import { type HardhatNode, startHardhatNode } from "./hardhat-node";
import { type Registries, deployRegistries } from "./registries";
import { type Received, testServer } from "./upstream";
import {
  type CapWish,
  type TestDevice,
  capRequest,
  countersign,
  nonce,
  nowSeconds,
  signCap,
  testDevice,
} from "./words";

type Server = Awaited<ReturnType<typeof testServer>>;
const ZERO = `0x${"00".repeat(32)}` as const;

/** What an honest worker would put into its reply to a fetch. */
export interface Truth {
  readonly payload_b64: string;
  readonly content_salt: Hex;
  readonly version: number;
  readonly stored_by: StoredBy;
}

/** Answers one request of the worker or the broker. */
export type Reply = (response: ServerResponse, received: Received) => void;

/**
 * A client with a real chain, and servers of the test in the places of its broker and worker: they know everything that
 * those know, and say what the test wants.
 */
export class ClientWorld {
  readonly broker: Server;
  readonly worker: Server;
  readonly chain: ChainReader;
  readonly separator: Buffer;
  readonly operator: Hex;
  readonly agent = testDevice();
  readonly actor: Hex;
  readonly wish: ObjectWish;
  /** What the worker answers; the broker is honest unless its server is told otherwise. */
  reply: Reply = (response) => response.writeHead(404).end();
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

  private constructor(
    readonly node: HardhatNode,
    readonly registries: Registries,
    servers: readonly [Server, Server],
  ) {
    [this.broker, this.worker] = servers;
    const { sidecarRegistry } = registries.addresses;
    this.separator = domainSeparator({ chainId: 31337, registry: sidecarRegistry });
    this.operator = operatorOmni(registries.master.address);
    this.actor = actorOmni(this.operator, "agent-a");
    this.wish = { actorOmni: this.actor, dataClass: "credentials", service: "openrouter" };
    this.chain = chainReader({
      rpcUrls: [node.url],
      quorum: 1,
      chainId: 31337,
      contracts: registries.addresses,
      profile: "local",
      now: nowSeconds,
      pollMs: 20,
    });
  }

  static async start(): Promise<ClientWorld> {
    await keccakReady();
    const node = await startHardhatNode();
    const registries = await deployRegistries(node.provider);
    const world = new ClientWorld(node, registries, [await testServer(), await testServer()]);
    await (await registries.sidecarRegistry.registerOperator()).wait();
    await world.register("agent-a", world.agent);
    world.honest();
    return world;
  }

  async stop(): Promise<void> {
    await this.chain.close();
    await this.broker.stop();
    await this.worker.stop();
    await this.node.stop();
  }

  /** Both servers as they were, with nothing received. */
  honest(): void {
    this.broker.received.length = 0;
    this.worker.received.length = 0;
    this.broker.use((request, response, received) => {
      request.on("end", () => {
        response.writeHead(200).end(JSON.stringify({ cap: this.mint(received), expires_at: 0 }));
      });
    });
    this.worker.use((request, response, received) => {
      request.on("end", () => {
        this.reply(response, received);
      });
    });
  }

  /** The cap that a broker makes of a mint request. */
  mint(received: Received): string {
    const route = MINT_ROUTES.find((one) => one.path === received.url);
    const parsed = route === undefined ? undefined : parseMint(route, Buffer.from(received.body, "latin1"));
    if (parsed?.ok !== true) throw new Error(`no mint request: ${received.url} ${received.body}`);
    return this.countersign(parsed.value.cap, parsed.value.clientSig as Hex);
  }

  countersign(cap: ReturnType<typeof capRequest>, clientSig: Hex): string {
    const broker = { key: this.#key, kid: publicJwk(this.#key).kid, origin: this.broker.url };
    return countersign(broker, cap, clientSig);
  }

  client(change: Partial<ClientOptions> = {}): Promise<Client> {
    return createClient({
      device: deviceKey(this.agent.secret),
      operatorOmni: this.operator,
      domain: { chainId: 31337, registry: this.registries.addresses.sidecarRegistry },
      urls: { broker: this.broker.url, worker: { credentials: this.worker.url } },
      chain: this.chain,
      marks: memoryMarks(),
      now: nowSeconds,
      ...change,
    });
  }

  /** Registers a device of an agent of the operator, or without a label a master device; `by` another master account. */
  async register(label: string | undefined, device: TestDevice, by?: JsonRpcSigner): Promise<void> {
    const { master, sidecarRegistry } = this.registries;
    const registry = sidecarRegistry.connect(by ?? master);
    const operator = operatorOmni((by ?? master).address);
    const deadline = ((await this.node.provider.getBlock("latest"))?.timestamp ?? 0) + 3_600;
    const actor = label === undefined ? operator : actorOmni(operator, label);
    const roles = label === undefined ? 7 : 1;
    const binding = { operatorOmni: operator, actorOmni: actor, deviceKey: device.address, roles, deadline };
    const digest = deviceBindingDigest(this.separator, { ...binding, attestationHash: ZERO });
    const sig = signDigest(digest, device.secret);
    const sent =
      label === undefined
        ? await registry.registerMasterDevice(device.address, roles, ZERO, ZERO, deadline, sig)
        : await registry.registerAgentDevice(label, device.address, ZERO, deadline, sig);
    await sent.wait();
    await this.followed();
  }

  /** Waits until the reader follows the newest block. */
  async followed(): Promise<void> {
    const newest = await this.node.provider.getBlockNumber();
    while ((this.chain.head()?.number ?? -1) < newest) await this.chain.ready();
  }

  /** Evidence of a store by a device, as an honest worker keeps and repeats it. */
  truth(plaintext: string, version = 1, device = this.agent, wish: Partial<CapWish> = {}): Truth {
    const salt = nonce();
    const request = capRequest(device, {
      operatorOmni: this.operator,
      op: "store",
      contentHash: contentHash(salt, Buffer.from(plaintext)),
      ...this.wish,
      ...wish,
    });
    const evidence = storedBy(request, signCap(this.separator, device, request));
    return { payload_b64: toBase64url(Buffer.from(plaintext)), content_salt: salt, version, stored_by: evidence };
  }

  /** Seals any answer for the request that it answers; `info` and key as an honest worker takes them unless told. */
  sealed(answer: unknown, change: { readonly info?: string; readonly digest?: Buffer; readonly to?: Hex } = {}): Reply {
    return (response, received) => {
      const [header = ""] = received.header("agentkeys-proof");
      const proof = parseProofHeader(header);
      if (!proof.ok) throw new Error(proof.failure.detail);
      const digest = requestProofDigest(this.separator, {
        ...proof.value,
        method: "POST",
        target: this.worker.url + received.url,
        bodyHash: sha256Hex(Buffer.from(received.body, "latin1")),
        credentialHash: credentialHash((received.header("authorization")[0] ?? "").slice("AgentKeys ".length)),
      });
      const info = Buffer.concat([Buffer.from(change.info ?? REPLY_INFO), change.digest ?? digest]);
      const text = typeof answer === "string" ? answer : JSON.stringify(answer);
      void hpkeSeal(change.to ?? proof.value.sealTo, info, Buffer.from(text)).then((sealed) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify({ sealed: toBase64url(sealed) }));
      });
    };
  }
}

/** A problem document as a service writes it, or something like it. */
export function problem(status: number, members: unknown, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    response.end(typeof members === "string" ? members : JSON.stringify(members));
  };
}
