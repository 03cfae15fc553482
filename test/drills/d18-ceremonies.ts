import { AbiCoder } from "ethers";

import { entryPointAt } from "../../offchain/chain/entry-point";
import { encodeExecute } from "../../offchain/client/account-calls";
import { contractPasskey, encodeAssertion } from "../../offchain/client/authenticator";
import { deviceKey } from "../../offchain/client/device-key-file";
import { packOperation } from "../../offchain/client/user-operation";
import { type Hex, fromBase64url, fromHex, toBase64url } from "../../offchain/wire/bytes";
import { ceremonyChallenge, ceremonyDigest, ceremonyOf } from "../../offchain/wire/ceremony";
import { KMS_PATHS } from "../../offchain/wire/kms";
import { type PackedUserOperation, userOperationHash } from "../../offchain/wire/user-operation";
import { P256_ORDER, numbersOf } from "../helpers/assertion";
import { type Answer, post } from "../helpers/http";
import { type PasskeyParty, passkeyParty, payloadGrant } from "../helpers/passkey-party";
import { testServer } from "../helpers/upstream";
import { type TestDevice, makeProof, nonce, nowSeconds, testDevice } from "../helpers/words";
import type { Drill, DrillLog } from "./drill";
import type { World } from "./world";

type Server = Awaited<ReturnType<typeof testServer>>;

/**
 * D18, ceremonies: a hostile signer answers the client, a hostile front or relay stands before the real one, and another
 * agent of the same operator is the attacker's. All of them want the owner's passkey over something else than is shown.
 */
export const d18: Drill = {
  id: "D18",
  title: "a hostile signer, front or relay shows one ceremony and has another signed, or a user operation",
  async run(world, log) {
    const party = await passkeyParty(world.stack);
    const hostile = await testServer();
    try {
      await world.nextBlock();
      await hostileSigner(world, log, party, hostile);
      await hostileRelay(world, log, party);
      await honestly(log, party);
    } finally {
      await hostile.stop();
      party.operator.close();
    }
  },
};

/** What the attacker wants signed: the account gets a passkey of the attacker's. */
async function wanted(world: World, party: PasskeyParty): Promise<PackedUserOperation> {
  const { deployment } = world.stack;
  const sender = party.account;
  const addPasskey = `0x${"de".repeat(4)}${"00".repeat(128)}` as const;
  const callData = encodeExecute([{ to: sender, value: 0n, data: addPasskey }]);
  const entryPoint = entryPointAt(deployment.entryPoint, world.provider);
  const sequence = (await entryPoint.getFunction("getNonce")(sender, 0)) as bigint;
  const none = { preVerificationGas: 0n, maxFeePerGas: 0n, maxPriorityFeePerGas: 0n };
  const gas = { verificationGasLimit: 900_000n, callGasLimit: 500_000n, ...none };
  return packOperation({ sender, nonce: sequence, initCode: "0x", callData, gas });
}

/** What the EntryPoint says to an operation: `ok`, or its code. */
async function entryPointSays(world: World, operation: PackedUserOperation, signature: Hex): Promise<string> {
  const { entryPoint } = world.stack;
  const handleOps = entryPointAt(entryPoint, world.developer).getFunction("handleOps");
  try {
    await handleOps.staticCall([{ ...operation, signature }], world.developer.address, { gasLimit: 3_000_000n });
    return "ok";
  } catch (error) {
    const { revert } = error as { readonly revert?: { readonly args: readonly unknown[] } | null };
    return String(revert?.args[1]).slice(0, 4);
  }
}

async function hostileSigner(world: World, log: DrillLog, party: PasskeyParty, hostile: Server): Promise<void> {
  const client = await party.client({ signer: hostile.url });
  const operation = await wanted(world, party);
  const hash = userOperationHash(operation, world.stack.deployment);
  let begun: object = {};
  hostile.use((request, response, { url }) => {
    request.on("end", () => {
      response.writeHead(200).end(JSON.stringify(url === KMS_PATHS.beginCeremony ? begun : {}));
    });
  });
  const usual = (): object => ({
    ceremonyId: toBase64url(Buffer.alloc(16)),
    nonce: nonce(),
    rpId: "localhost",
    expiresAt: nowSeconds() + 300,
  });
  const challenge = toBase64url(fromHex(hash));
  const refusals: Readonly<Record<string, object>> = {
    "the hash of a user operation as challenge": { challenge },
    "the same in options for a browser": { publicKey: { challenge, rpId: "localhost" } },
    "the passkeys of another relying party": { rpId: "evil.example" },
    "a ceremony without an end": { expiresAt: nowSeconds() + 86_400 },
  };
  for (const [attack, members] of Object.entries(refusals)) {
    begun = { ...usual(), ...members };
    const answer = await client.create(party.label, party.authenticator);
    log.refusedBy("client", attack, answer.ok ? undefined : answer.failure.code, "request_malformed");
    log.refusedBy("client", `${attack}: no tap`, party.taps.length === 0 ? "no tap" : "a tap", "no tap");
  }

  // the one thing that a signer does contribute: what comes of it is a signature over something else
  begun = { ...usual(), nonce: hash };
  await client.create(party.label, party.authenticator);
  const sent = hostile.received.findLast(({ url }) => url === KMS_PATHS.createAgentKey);
  const body = JSON.parse(sent?.body ?? "{}") as { readonly webAuthnAssertion?: Readonly<Record<string, string>> };
  if (body.webAuthnAssertion === undefined) throw new Error("D18: the client brought no assertion");
  const stolen = accountSignature(party, body.webAuthnAssertion);
  log.refusedBy(
    "account",
    "the assertion as the operation's signature",
    await entryPointSays(world, operation, stolen),
    "AA24",
  );

  const asked = await party.authenticator.getAssertion(fromHex(hash), ["what the owner wants by itself"]);
  if (!asked.ok) throw new Error("D18: the passkey did not answer");
  const signed = encodeAssertion(party.authenticator.credential, fromHex(hash), asked.value);
  const says = signed.ok ? await entryPointSays(world, operation, signed.value) : signed.failure.code;
  log.honest("an operation that the owner signs by itself", says === "ok", says);
  await client.close();
}

/** An assertion in the account's encoding, whatever it is over. @see contracts/interfaces/IMasterAccount.sol */
function accountSignature(party: PasskeyParty, assertion: Readonly<Record<string, string>>): Hex {
  const bytes = (member: string): Buffer => fromBase64url(assertion[member]) ?? Buffer.alloc(0);
  const { r, s } = numbersOf(bytes("signature"));
  const word = (value: bigint): string => `0x${value.toString(16).padStart(64, "0")}`;
  const encoded = AbiCoder.defaultAbiCoder().encode(
    ["bytes32", "bytes32", "uint256", "uint256", "bytes", "string"],
    [
      word(r),
      word(s > P256_ORDER / 2n ? P256_ORDER - s : s),
      23,
      1,
      bytes("authenticatorData"),
      bytes("clientDataJSON").toString(),
    ],
  );
  return `${contractPasskey(party.authenticator.credential).credIdHash}${encoded.slice(2)}`;
}

/** The attacker's agent of the same operator begins; the owner is shown, and taps, what the honest agent wants. */
async function hostileRelay(world: World, log: DrillLog, party: PasskeyParty): Promise<void> {
  const signer = world.stack.urls.signerPublic;
  const other = "agent-b";
  const attacker = testDevice();
  const device = deviceKey(attacker.secret);
  const registered = await party.operator.registerAgent({ label: other, device, grants: [payloadGrant()] });
  if (!registered.ok) throw new Error(`D18: ${registered.failure.code}`);
  await world.nextBlock();
  const ask = (by: TestDevice, path: string, body: object): Promise<Answer> => {
    const text = JSON.stringify(body);
    const proof = makeProof(world.separator, by, { target: signer + path, body: text }).header;
    return post(signer + path, text, { "agentkeys-proof": proof });
  };
  const begin = async (
    by: TestDevice,
    label: string,
  ): Promise<{ ceremonyId: string; nonce: Hex; expiresAt: number }> => {
    const answer = await ask(by, KMS_PATHS.beginCeremony, { operation: "create", humanKeyId: party.account, label });
    if (answer.status !== 200) throw new Error(`D18: ${answer.body.toString()}`);
    return answer.json as never;
  };
  /** What the honest client shows and computes, with the nonce that it was given. */
  const tapFor = async (given: { readonly nonce: Hex; readonly expiresAt: number }): Promise<object> => {
    const { label, agent, omni: operatorOmni, account } = party;
    const subject = { operation: "create", label, deviceKeyHash: agent.hash } as const;
    const ceremony = ceremonyOf(subject, { operatorOmni, account, signerOrigin: signer, expiresAt: given.expiresAt });
    const challenge = ceremonyChallenge(given.nonce, ceremonyDigest(world.separator, ceremony));
    const tapped = await party.authenticator.getAssertion(challenge, []);
    if (!tapped.ok) throw new Error("D18: the passkey did not answer");
    const { authenticatorData, clientDataJSON, signature } = tapped.value;
    return {
      credentialId: toBase64url(party.authenticator.credential.credentialId),
      authenticatorData: toBase64url(authenticatorData),
      clientDataJSON: toBase64url(clientDataJSON),
      signature: toBase64url(signature),
    };
  };
  const create = (ceremonyId: string, label: string, webAuthnAssertion: object): object => ({
    ceremonyId,
    humanKeyId: party.account,
    label,
    webAuthnAssertion,
  });

  const theirs = await begin(attacker, other);
  const shown = await tapFor(theirs);
  log.refused(
    "signer",
    "the owner's tap for one agent, used for another",
    await ask(attacker, KMS_PATHS.createAgentKey, create(theirs.ceremonyId, other, shown)),
    "payload_invalid",
  );
  const mine = await begin(party.agent, party.label);
  const good = await tapFor(mine);
  log.refused(
    "signer",
    "the honest agent's ceremony, brought by another device",
    await ask(attacker, KMS_PATHS.createAgentKey, create(mine.ceremonyId, party.label, good)),
    "device_binding_mismatch",
  );
  log.refused(
    "signer",
    "the same under the label of the attacker's agent",
    await ask(attacker, KMS_PATHS.createAgentKey, create(mine.ceremonyId, other, good)),
    "payload_invalid",
  );
  const path = KMS_PATHS.createAgentKey;
  const text = JSON.stringify(create(mine.ceremonyId, party.label, good));
  const proof = makeProof(world.separator, party.agent, { target: signer + path, body: text }).header;
  const changed = JSON.stringify(create(mine.ceremonyId, other, good));
  log.refused(
    "signer",
    "a front that changes the label on its way",
    await post(signer + path, changed, { "agentkeys-proof": proof }),
    "proof_invalid",
    "forged",
  );
  const made = await post(signer + path, text, { "agentkeys-proof": proof });
  log.honest("the agent's own request, after all that", made.status === 200, made.body.toString());
  const again = await ask(party.agent, path, create(mine.ceremonyId, party.label, good));
  log.refused("signer", "the same ceremony once more", again, "payload_invalid");
}

async function honestly(log: DrillLog, party: PasskeyParty): Promise<void> {
  const client = await party.client();
  const before = party.taps.length;
  const made = await client.create(party.label, party.authenticator);
  log.honest("create, with one tap", made.ok && party.taps.length === before + 1, made.ok ? "" : made.failure.code);
  if (!made.ok) return;
  const signed = await client.signPayload(made.value, nonce());
  log.honest("sign", signed.ok, signed.ok ? "" : signed.failure.code);
  const revoked = await client.revoke(made.value.keyId, party.authenticator);
  log.honest("revoke", revoked.ok, revoked.ok ? "" : revoked.failure.code);
  await client.close();
}
