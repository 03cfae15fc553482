import { AUDIT_ROW_PATH } from "../../offchain/wire/audit-row";
import { ZERO32 } from "../../offchain/wire/bytes";
import { type AgentCredentialAnswer, KMS_PATHS, PAYLOAD_ALGORITHM } from "../../offchain/wire/kms";
import type { ProblemCode } from "../../offchain/wire/problem";
import { STS_CREDENTIALS_PATH, STS_ROUTES } from "../../offchain/wire/sts";
import type { World } from "../drills/world";
import type { PasskeyParty } from "./passkey-party";
import type { Attack } from "./vault-attacks";
import { type ProofWish, type TestDevice, makeProof, nonce, testDevice } from "./words";

/** The caller that the front names for the broker. */
export const BROKER_CALLER = "URI:spiffe://agentkeys/broker";

/** An attack on any route, with the headers that the front would have received. */
export interface AnyAttack extends Attack {
  readonly headers?: { readonly authorization?: string; readonly proof?: string };
}

/**
 * What attacker code inside the front sends to every other route than that of content keys, with the bearer of an
 * agent: tokens for clouds, audit rows, agent keys and signatures that nobody asked for.
 */
export function routeAttacks(world: World, party: PasskeyParty, key: AgentCredentialAnswer): readonly AnyAttack[] {
  const { agentDevice, actor } = world.party;
  const thief = testDevice();
  const origin = world.stack.urls.broker;
  const target = origin + (STS_ROUTES[0]?.path ?? "");
  const proofOf = (device: TestDevice, wish: ProofWish): string => makeProof(world.separator, device, wish).header;
  const sts = (proof: string, change: object = {}): string =>
    JSON.stringify({ proof, method: "POST", target, body: "{}", ...change });
  const stsRoute = { route: `POST ${STS_CREDENTIALS_PATH}`, caller: BROKER_CALLER } as const;
  const forged = ["proof_invalid"] satisfies ProblemCode[];
  const meant = proofOf(agentDevice, { target: `${origin}/v1/events`, body: "{}" });

  const signer = world.stack.urls.signerPublic;
  const authorization = `AgentKeys ${key.agentCredential}`;
  const signBody = (change: object = {}): string =>
    JSON.stringify({
      ...{ keyId: key.keyId, payload: nonce(), algorithm: PAYLOAD_ALGORITHM, accountAddress: party.account },
      ...change,
    });
  const sign = { route: `POST ${KMS_PATHS.signAgent}`, caller: "public" } as const;
  const signProof = (device: TestDevice, body: string, wish: Partial<ProofWish> = {}): string =>
    proofOf(device, { target: signer + KMS_PATHS.signAgent, credential: key.agentCredential, body, ...wish });
  const body = signBody();
  const digest = JSON.stringify({ keyId: key.keyId, digest: nonce(), hash: nonce() });
  const begin = JSON.stringify({ operation: "create", humanKeyId: party.account, label: party.label });
  return [
    { ...stsRoute, kind: "a token without a proof", body: sts(""), codes: forged },
    {
      ...stsRoute,
      kind: "a token for a device of its own",
      body: sts(proofOf(thief, { target, body: "{}" })),
      codes: ["device_not_active"],
    },
    {
      ...stsRoute,
      kind: "a token in a device's name",
      body: sts(proofOf(thief, { target, body: "{}", claims: agentDevice.hash })),
      codes: forged,
    },
    { ...stsRoute, kind: "a token by a proof for another route", body: sts(meant), codes: forged },
    {
      ...stsRoute,
      kind: "a token by a proof for another route, and its target",
      body: sts(meant, { target: `${origin}/v1/events` }),
      codes: forged,
    },
    {
      ...stsRoute,
      kind: "a token of its own claims",
      body: sts(meant, { actor, sub: actor, claims: { sub: actor } }),
      codes: forged,
    },
    {
      route: `POST ${AUDIT_ROW_PATH}`,
      kind: "an audit row of its own making",
      body: JSON.stringify({ row: { actor }, claims: {}, outcome: { result: "read" } }),
      codes: ["request_malformed"],
    },
    {
      route: `POST ${AUDIT_ROW_PATH}`,
      kind: "an audit row for no cap",
      body: JSON.stringify({
        cap: "a.b.c",
        proof: meant,
        method: "POST",
        target: world.target("fetch"),
        body_hash: ZERO32,
        outcome: { result: "read" },
      }),
      codes: ["broker_sig_invalid", "proof_invalid"],
    },
    { ...sign, kind: "a signature without proof or bearer", body, codes: ["credential_invalid", "proof_invalid"] },
    { ...sign, kind: "a signature with the bearer alone", body, headers: { authorization }, codes: forged },
    {
      ...sign,
      kind: "a signature with the bearer and its own device",
      body,
      headers: { authorization, proof: signProof(thief, body) },
      codes: forged,
    },
    {
      ...sign,
      kind: "a signature in the agent's name",
      body,
      headers: { authorization, proof: signProof(thief, body, { claims: party.agent.hash }) },
      codes: forged,
    },
    {
      ...sign,
      kind: "another payload under the agent's proof",
      body: signBody(),
      headers: { authorization, proof: signProof(party.agent, body) },
      codes: forged,
    },
    {
      ...sign,
      kind: "another key under the agent's proof",
      body: signBody({ keyId: key.keyId.replace(/:0$/, ":1") }),
      headers: { authorization, proof: signProof(party.agent, body) },
      codes: forged,
    },
    {
      ...sign,
      kind: "a raw digest, with everything of the agent's",
      body: digest,
      headers: { authorization, proof: signProof(party.agent, digest) },
      codes: ["request_malformed", "payload_invalid"],
    },
    {
      route: `POST ${KMS_PATHS.beginCeremony}`,
      caller: "public",
      kind: "a ceremony for its own device",
      body: begin,
      headers: { proof: proofOf(thief, { target: signer + KMS_PATHS.beginCeremony, body: begin }) },
      codes: ["device_not_active"],
    },
    ...["POST /v1/export", "POST /v1/backup", "POST /admin", "POST prepare-epoch", "GET /v1/keys", "POST /v1/sign"].map(
      (route) => ({
        kind: `the method ${route}`,
        route,
        caller: "admin",
        body: "{}",
        codes: ["route_not_found"] as const,
      }),
    ),
  ];
}
