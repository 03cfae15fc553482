import { Agent } from "undici";

import type { AgentKeysClient } from "../../offchain/client/agent-keys";
import type { Hex } from "../../offchain/wire/bytes";
import { KMS_PATHS } from "../../offchain/wire/kms";
import { type Answer, post } from "../helpers/http";
import { type PasskeyParty, passkeyParty } from "../helpers/passkey-party";
import { type ProofWish, type TestDevice, makeProof, nonce, testDevice } from "../helpers/words";
import type { Drill, DrillLog } from "./drill";
import type { World } from "./world";

/** Most signatures of one key in a minute. @see protocol 3.8 */
const LIMIT = 20;

/**
 * D10: a thief has an agent's bearer credential, a registered device of its own (another operator's), and everything that
 * it saw on the wire. It calls from another address of this machine: who proves nothing is limited by source.
 */
export const d10: Drill = {
  id: "D10",
  title: "a stolen bearer credential alone signs for the agent, or exhausts its limits",
  async run(world, log) {
    const party = await passkeyParty(world.stack);
    const client = await party.client();
    // the second, because the first is refused for all that it tried
    const doors = ["127.0.0.2", "127.0.0.3"].map((localAddress) => new Agent({ localAddress }));
    const [door = new Agent(), another = new Agent()] = doors;
    try {
      await steal(world, log, party, client, { door, another });
    } finally {
      await Promise.all(doors.map((one) => one.close()));
      await client.close();
      party.operator.close();
    }
  },
};

async function steal(
  world: World,
  log: DrillLog,
  party: PasskeyParty,
  client: AgentKeysClient,
  { door, another }: { readonly door: Agent; readonly another: Agent },
): Promise<void> {
  await world.nextBlock();
  const made = await client.create(party.label, party.authenticator);
  if (!made.ok) throw new Error(`D10: ${made.failure.code}: ${made.failure.detail}`);
  const key = made.value;
  const payload = (): Hex => nonce();
  const body = (): string =>
    JSON.stringify({ keyId: key.keyId, payload: payload(), algorithm: "eip191-32", accountAddress: party.account });
  const signed = await client.signPayload(key, payload());
  log.honest("the agent signs", signed.ok, signed.ok ? "" : signed.failure.code);

  const ask = (path: string, text: string, headers: Readonly<Record<string, string>>, from = door): Promise<Answer> =>
    post(world.stack.urls.signerPublic + path, text, headers, from);
  const proofOf = (device: TestDevice, path: string, text: string, wish: Partial<ProofWish> = {}): string => {
    const target = world.stack.urls.signerPublic + path;
    return makeProof(world.separator, device, { credential: key.agentCredential, ...wish, target, body: text }).header;
  };
  const authorization = `AgentKeys ${key.agentCredential}`;
  const sign = KMS_PATHS.signAgent;
  const thief = world.agentDevice;
  const refused = (attack: string, answer: Answer, code: string, reason?: string): void => {
    log.refused("signer", attack, answer, code, reason);
  };

  let text = body();
  refused("the bearer without a proof", await ask(sign, text, { authorization }), "proof_invalid", "missing");
  const own = proofOf(thief, sign, text);
  refused(
    "the bearer with the thief's own device",
    await ask(sign, text, { authorization, "agentkeys-proof": own }),
    "proof_invalid",
    "mismatch",
  );
  const named = proofOf(thief, sign, text, { claims: party.agent.hash });
  refused(
    "a proof in the agent's name",
    await ask(sign, text, { authorization, "agentkeys-proof": named }),
    "proof_invalid",
    "forged",
  );
  refused(
    "the thief's proof without the bearer",
    await ask(sign, text, { "agentkeys-proof": proofOf(thief, sign, text, { credential: undefined as never }) }),
    "credential_invalid",
  );

  // what passed on the wire: once more, and for something else
  const seen = { authorization, "agentkeys-proof": proofOf(party.agent, sign, text) };
  const first = await ask(sign, text, seen);
  log.honest("a request that the thief saw", first.status === 200, first.body.toString());
  refused("the same once more", await ask(sign, text, seen), "proof_invalid", "replayed");
  text = body();
  refused("its headers over another payload", await ask(sign, text, seen), "proof_invalid", "forged");

  // a credential of its own for the same key needs the owner's passkey, and that a device of this agent asks
  const begin = JSON.stringify({ operation: "refresh", humanKeyId: party.account, keyId: key.keyId });
  const refresh = { authorization, "agentkeys-proof": proofOf(thief, KMS_PATHS.beginCeremony, begin) };
  refused("a refresh for its device", await ask(KMS_PATHS.beginCeremony, begin, refresh), "device_binding_mismatch");
  const stranger = testDevice();
  const unknown = { authorization, "agentkeys-proof": proofOf(stranger, KMS_PATHS.beginCeremony, begin) };
  refused("a refresh for any device", await ask(KMS_PATHS.beginCeremony, begin, unknown), "device_not_active");

  // exhausting: more attempts than any limit has, by every way in; the agent has used 2 of its 20
  for (let i = 0; i < 130; i += 1) {
    text = body();
    const forged = proofOf(thief, sign, text, i % 2 === 0 ? {} : { claims: party.agent.hash });
    const answer = await ask(sign, text, { authorization, "agentkeys-proof": forged });
    log.refused("signer", "exhaust the agent's limits", answer, ["proof_invalid", "rate_limited"]);
  }
  for (let i = 2; i < LIMIT; i += 1) {
    const again = await client.signPayload(key, payload());
    log.honest(`the agent is not locked out (${String(i)})`, again.ok, again.ok ? "" : again.failure.code);
  }

  // the owner ends the stolen credential with a tap; its thief's copy is dead inside the vault at once
  const next = await client.refresh(key, party.authenticator);
  log.honest("the owner refreshes", next.ok, next.ok ? "" : next.failure.code);
  text = body();
  const late = { authorization, "agentkeys-proof": proofOf(party.agent, sign, text) };
  const dead = await ask(sign, text, late, another);
  refused("the superseded credential, with the agent's own proof", dead, "credential_invalid");
  log.honest("the passkey was asked for what its owner did, and for nothing else", party.taps.length === 2);
}
