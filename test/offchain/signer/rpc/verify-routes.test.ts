import { expect } from "chai";
import { TypedDataEncoder, SigningKey, Wallet } from "ethers";
import fc from "fast-check";

import { type Hex, ZERO32, toBase64url } from "../../../../offchain/wire/bytes";
import { type Ceremony, ceremonyChallenge, ceremonyDigest, ceremonyOf } from "../../../../offchain/wire/ceremony";
import { keccak256Hex } from "../../../../offchain/wire/keccak";
import { VERIFY_K10_PATH, VERIFY_K11_PATH } from "../../../../offchain/wire/verify-routes";
import type { World } from "../../../drills/world";
import { anyBytes32, anyDataClass, anyService, anyWhole } from "../../../helpers/arbitraries";
import type { Answer } from "../../../helpers/http";
import { type PasskeyParty, passkeyParty } from "../../../helpers/passkey-party";
import { type ServiceDoor, outcomeOf, serviceDoor } from "../../../helpers/service-door";
import { sharedWorld } from "../../../helpers/shared-world";
import { brokenSignatures } from "../../../helpers/signature-forms";
import { type TestDevice, nonce, nowSeconds, testDevice } from "../../../helpers/words";

type Message = Readonly<Record<string, string | number>>;

/** A message of protocol 3.2 as another library knows it. */
interface Kind {
  /** EIP-712 members in their order, by the name they have on the wire. */
  readonly members: readonly (readonly [wire: string, type: string])[];
  readonly any: (device: TestDevice) => fc.Arbitrary<Message>;
  /** Values that have not the member's form, beside those that no member has. */
  readonly malformed: Readonly<Record<string, readonly unknown[]>>;
}

const anyOp = fc.constantFrom("fetch", "store", "teardown", "rotate", "classify");
const BYTES32 = [`0x${"ab".repeat(31)}`, `0x${"AB".repeat(32)}`, "ab".repeat(32), ""];
const WHOLE = [-1, 1.5, 2 ** 53, "1"];

const KINDS: Readonly<Record<string, Kind>> = {
  CapRequest: {
    members: [
      ["operator_omni", "bytes32"],
      ["actor_omni", "bytes32"],
      ["device_key_hash", "bytes32"],
      ["service", "string"],
      ["op", "string"],
      ["data_class", "string"],
      ["content_hash", "bytes32"],
      ["k3_epoch", "uint64"],
      ["issued_at", "uint64"],
      ["expires_at", "uint64"],
      ["nonce", "bytes32"],
    ],
    any: (device) =>
      fc.record({
        operator_omni: anyBytes32,
        actor_omni: anyBytes32,
        device_key_hash: fc.constant(device.hash),
        service: anyService,
        op: anyOp,
        data_class: anyDataClass,
        content_hash: anyBytes32,
        k3_epoch: anyWhole,
        issued_at: anyWhole,
        expires_at: anyWhole,
        nonce: anyBytes32,
      }),
    malformed: {
      operator_omni: BYTES32,
      actor_omni: BYTES32,
      device_key_hash: BYTES32,
      service: ["", "A", "a..b"],
      op: ["Fetch", "delete"],
      data_class: ["classify", "audit"],
      content_hash: BYTES32,
      k3_epoch: WHOLE,
      issued_at: WHOLE,
      expires_at: WHOLE,
      nonce: BYTES32,
    },
  },
  RequestProof: {
    members: [
      ["device_key_hash", "bytes32"],
      ["method", "string"],
      ["target", "string"],
      ["body_hash", "bytes32"],
      ["credential_hash", "bytes32"],
      ["seal_to", "bytes32"],
      ["nonce", "bytes32"],
      ["issued_at", "uint64"],
    ],
    any: (device) =>
      fc.record({
        device_key_hash: fc.constant(device.hash),
        method: fc.constantFrom("GET", "POST"),
        target: fc.webUrl(),
        body_hash: anyBytes32,
        credential_hash: anyBytes32,
        seal_to: anyBytes32,
        nonce: anyBytes32,
        issued_at: anyWhole,
      }),
    malformed: {
      device_key_hash: BYTES32,
      method: [],
      target: [],
      body_hash: BYTES32,
      credential_hash: BYTES32,
      seal_to: BYTES32,
      nonce: BYTES32,
      issued_at: WHOLE,
    },
  },
  DeviceBinding: {
    members: [
      ["operator_omni", "bytes32"],
      ["actor_omni", "bytes32"],
      ["device_key", "address"],
      ["roles", "uint8"],
      ["attestation_hash", "bytes32"],
      ["deadline", "uint256"],
    ],
    any: (device) =>
      fc.record({
        operator_omni: anyBytes32,
        actor_omni: anyBytes32,
        device_key: fc.constant(device.address),
        roles: fc.integer({ min: 0, max: 255 }),
        attestation_hash: anyBytes32,
        deadline: anyWhole,
      }),
    malformed: {
      operator_omni: BYTES32,
      actor_omni: BYTES32,
      device_key: [ZERO32, "", `0x${"AB".repeat(20)}`],
      roles: [...WHOLE, 256],
      attestation_hash: BYTES32,
      deadline: WHOLE,
    },
  },
  Freeze: {
    members: [
      ["operator_omni", "bytes32"],
      ["device_key_hash", "bytes32"],
      ["freeze_nonce", "uint64"],
      ["deadline", "uint256"],
    ],
    any: (device) =>
      fc.record({
        operator_omni: anyBytes32,
        device_key_hash: fc.constant(device.hash),
        freeze_nonce: anyWhole,
        deadline: anyWhole,
      }),
    malformed: { operator_omni: BYTES32, device_key_hash: BYTES32, freeze_nonce: WHOLE, deadline: WHOLE },
  },
};

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

describe("signer: signatures checked for services (protocol 3.7)", function () {
  this.timeout(180_000);
  let world: World;
  let door: ServiceDoor;

  before(async () => {
    world = await sharedWorld();
    door = serviceDoor(world.stack);
  });
  after(() => door.close());

  describe("POST /v1/verify/k10-sig", () => {
    const ask = (body: object | string, as: Parameters<ServiceDoor["post"]>[0] = "broker"): Promise<Answer> =>
      door.post(as, VERIFY_K10_PATH, body);

    /** The digest by another library. */
    function digestOf(type: string, kind: Kind, message: Message): string {
      const { chainId, registry: verifyingContract } = world.domain;
      const domain = { name: "AgentKeys", version: "2", chainId, verifyingContract };
      const fields = kind.members.map(([wire, solidity]) => ({ name: camel(wire), type: solidity }));
      const value = Object.fromEntries(kind.members.map(([wire]) => [camel(wire), message[wire]]));
      return TypedDataEncoder.hash(domain, { [type]: fields }, value);
    }

    const signed = (type: string, kind: Kind, message: Message, device: TestDevice): Hex =>
      new SigningKey(device.secret).sign(digestOf(type, kind, message)).serialized as Hex;

    const sample = (kind: Kind, device: TestDevice): Message => fc.sample(kind.any(device), 1)[0] ?? {};

    /** A good value of this member that is not the message's. */
    function otherThan(kind: Kind, message: Message, member: string): string | number | undefined {
      for (;;) {
        const value = sample(kind, testDevice())[member];
        if (value !== message[member]) return value;
      }
    }

    for (const [type, kind] of Object.entries(KINDS)) {
      describe(type, () => {
        it("any message that another library signed: the signer's hash", async () => {
          const device = testDevice();
          await fc.assert(
            fc.asyncProperty(kind.any(device), async (message) => {
              const answer = await ask({ type, message, sig: signed(type, kind, message, device) });
              expect([answer.status, answer.json]).to.deep.equal([200, { device_key_hash: device.hash }]);
            }),
            { numRuns: 25 },
          );
        });

        it("each member is bound", async () => {
          const device = testDevice();
          const message = sample(kind, device);
          const sig = signed(type, kind, message, device);
          for (const [member] of kind.members) {
            const changed = { ...message, [member]: otherThan(kind, message, member) };
            expect(outcomeOf(await ask({ type, message: changed, sig })), member).to.equal("cap_pop_invalid");
          }
          expect(outcomeOf(await ask({ type, message, sig }))).to.equal("ok");
        });

        it("a member that is missing or has another form", async () => {
          const device = testDevice();
          const message = sample(kind, device);
          const sig = signed(type, kind, message, device);
          for (const [member] of kind.members) {
            for (const value of [undefined, null, [], {}, true, ...(kind.malformed[member] ?? [])]) {
              const outcome = outcomeOf(await ask({ type, message: { ...message, [member]: value }, sig }));
              expect(outcome, `${member}: ${typeof value} ${JSON.stringify([value])}`).to.equal("request_malformed");
            }
          }
          expect(outcomeOf(await ask({ type, message, sig }))).to.equal("ok");
        });

        it("another signature, or one in another form", async () => {
          const device = testDevice();
          const message = sample(kind, device);
          const good = signed(type, kind, message, device);
          const forms = Object.entries({
            ...brokenSignatures(good),
            "by another device": signed(type, kind, message, testDevice()),
            "over another message": signed(type, kind, sample(kind, device), device),
          });
          for (const [name, sig] of forms) {
            expect(outcomeOf(await ask({ type, message, sig })), name).to.be.oneOf([
              "request_malformed",
              "cap_pop_invalid",
            ]);
          }
          expect(outcomeOf(await ask({ type, message, sig: good }))).to.equal("ok");
        });

        it("a digest is nothing that anybody may bring", async () => {
          const device = testDevice();
          const [message, other] = [sample(kind, device), sample(kind, device)];
          const digest = digestOf(type, kind, other);
          const sig = signed(type, kind, other, device);
          const brought = { digest, hash: digest, message_hash: digest };
          // beside a message it changes nothing, in place of one it is none
          expect(outcomeOf(await ask({ type, message, sig, ...brought }))).to.equal("cap_pop_invalid");
          expect(outcomeOf(await ask({ type, message: { ...message, ...brought }, sig }))).to.equal("cap_pop_invalid");
          expect(outcomeOf(await ask({ type, message: digest, sig }))).to.equal("request_malformed");
          expect(outcomeOf(await ask({ type, sig, ...brought }))).to.equal("request_malformed");
          expect(outcomeOf(await ask({ type, message: other, sig, digest: ZERO32 }))).to.equal("ok");
        });

        it("a signature under another registry or chain", async () => {
          const device = testDevice();
          const message = sample(kind, device);
          const fields = kind.members.map(([wire, solidity]) => ({ name: camel(wire), type: solidity }));
          const value = Object.fromEntries(kind.members.map(([wire]) => [camel(wire), message[wire]]));
          const { chainId, registry: verifyingContract } = world.domain;
          const honest = { name: "AgentKeys", version: "2", chainId, verifyingContract };
          const wallet = new Wallet(new SigningKey(device.secret));
          const under = async (domain: object): Promise<string> =>
            outcomeOf(await ask({ type, message, sig: await wallet.signTypedData(domain, { [type]: fields }, value) }));
          expect(await under({ ...honest, chainId: 1 })).to.equal("cap_pop_invalid");
          expect(await under({ ...honest, verifyingContract: device.address })).to.equal("cap_pop_invalid");
          expect(await under({ ...honest, version: "1" })).to.equal("cap_pop_invalid");
          expect(await under(honest)).to.equal("ok");
        });
      });
    }

    it("no other type: what signs money or anything else is none of the device's messages", async () => {
      const device = testDevice();
      const kind = KINDS["Freeze"];
      if (kind === undefined) throw new Error("no such kind");
      const message = sample(kind, device);
      const sig = signed("Freeze", kind, message, device);
      for (const type of [
        "Ceremony",
        "PackedUserOperation",
        "freeze",
        "",
        "toString",
        "__proto__",
        null,
        1,
        undefined,
      ]) {
        expect(outcomeOf(await ask({ type, message, sig })), String(type)).to.equal("request_malformed");
      }
      // the same members under the name of another message are another digest
      expect(outcomeOf(await ask({ type: "Freeze", message, sig }))).to.equal("ok");
      for (const body of ["", "null", "[]", "{", '{"type":"Freeze","type":"Freeze"}']) {
        expect(outcomeOf(await ask(body)), body).to.equal("request_malformed");
      }
    });

    it("broker and workers alike may ask; no registration is needed, and nothing is used up", async () => {
      const device = testDevice();
      const kind = KINDS["CapRequest"];
      if (kind === undefined) throw new Error("no such kind");
      const message = sample(kind, device);
      const body = { type: "CapRequest", message, sig: signed("CapRequest", kind, message, device) };
      for (const name of ["broker", "worker-credentials", "worker-memory", "worker-config"] as const) {
        expect(outcomeOf(await ask(body, name)), name).to.equal("ok");
      }
    });
  });

  describe("POST /v1/verify/k11-assertion", () => {
    let party: PasskeyParty;
    let other: PasskeyParty;

    before(async () => {
      [party, other] = [await passkeyParty(world.stack), await passkeyParty(world.stack)];
      await world.nextBlock();
    });

    const ask = (body: object | string, as: Parameters<ServiceDoor["post"]>[0] = "worker-credentials") =>
      door.post(as, VERIFY_K11_PATH, body);

    const create = (of: PasskeyParty): Ceremony =>
      ceremonyOf(
        { operation: "create", label: of.label, deviceKeyHash: of.agent.hash },
        {
          operatorOmni: of.omni,
          account: of.account,
          signerOrigin: world.stack.urls.signerPublic,
          expiresAt: nowSeconds() + 300,
        },
      );

    const wireOf = (ceremony: Ceremony): Message => ({
      operation: ceremony.operation,
      operator_omni: ceremony.operatorOmni,
      account: ceremony.account,
      key_id: ceremony.keyId,
      label: ceremony.label,
      device_key_hash: ceremony.deviceKeyHash,
      signer_origin: ceremony.signerOrigin,
      expires_at: ceremony.expiresAt,
    });

    /** What a party's passkey answers over a challenge, as it travels. */
    async function tap(of: PasskeyParty, challenge: Uint8Array): Promise<Readonly<Record<string, string>>> {
      const answer = await of.authenticator.getAssertion(challenge, []);
      if (!answer.ok) throw new Error(answer.failure.detail);
      const { authenticatorData, clientDataJSON, signature } = answer.value;
      return {
        credentialId: toBase64url(of.authenticator.credential.credentialId),
        authenticatorData: toBase64url(authenticatorData),
        clientDataJSON: toBase64url(clientDataJSON),
        signature: toBase64url(signature),
      };
    }

    const challengeOf = (seen: Hex, ceremony: Ceremony): Buffer =>
      ceremonyChallenge(seen, ceremonyDigest(world.separator, ceremony));

    /** Everything that an honest service brings. */
    async function honest(by = party): Promise<Record<string, unknown>> {
      const [seen, ceremony] = [nonce(), create(party)];
      const assertion = await tap(by, challengeOf(seen, ceremony));
      return { ceremony: wireOf(ceremony), nonce: seen, assertion };
    }

    it("an assertion by the account's own passkey, again and again: its hash, and nothing is used up", async () => {
      const body = await honest();
      const { credentialId } = party.authenticator.credential;
      for (const name of ["worker-credentials", "broker", "worker-credentials"] as const) {
        const answer = await ask(body, name);
        expect([answer.status, answer.json]).to.deep.equal([200, { cred_id_hash: keccak256Hex(credentialId) }]);
      }
    });

    it("every member of the ceremony, and the nonce, is bound", async () => {
      const body = await honest();
      const ceremony = body["ceremony"] as Message;
      const changes: Message = {
        operation: "refresh",
        key_id: "f5dfe9a9-85fd-8b4d-877f-7116fefb3127:0",
        label: "agent-b",
        device_key_hash: nonce(),
        signer_origin: "https://thief.example",
        expires_at: Number(ceremony["expires_at"]) + 1,
      };
      for (const [member, value] of Object.entries(changes)) {
        const changed = { ...body, ceremony: { ...ceremony, [member]: value } };
        expect(outcomeOf(await ask(changed)), member).to.equal("payload_invalid");
      }
      expect(outcomeOf(await ask({ ...body, nonce: nonce() }))).to.equal("payload_invalid");
      expect(outcomeOf(await ask(body))).to.equal("ok");
    });

    it("another operator's account, or another account beside the operator", async () => {
      const body = await honest();
      const ceremony = body["ceremony"] as Message;
      const moved = (change: Message) => ({ ...body, ceremony: { ...ceremony, ...change } });
      const both = moved({ account: other.account, operator_omni: other.omni });
      expect(outcomeOf(await ask(both)), "whole").to.equal("payload_invalid");
      expect(outcomeOf(await ask(moved({ account: other.account })))).to.equal("device_binding_mismatch");
      expect(outcomeOf(await ask(moved({ operator_omni: other.omni })))).to.equal("device_binding_mismatch");
      expect(outcomeOf(await ask(moved({ operator_omni: nonce() })))).to.equal("device_binding_mismatch");
      expect(outcomeOf(await ask(body))).to.equal("ok");
    });

    it("a passkey of somebody else, also under the id of the account's own", async () => {
      const body = await honest(other);
      expect(outcomeOf(await ask(body))).to.equal("payload_invalid");
      const { credentialId } = party.authenticator.credential;
      const assertion = { ...(body["assertion"] as object), credentialId: toBase64url(credentialId) };
      expect(outcomeOf(await ask({ ...body, assertion }))).to.equal("payload_invalid");
      expect(outcomeOf(await ask(await honest()))).to.equal("ok");
    });

    it("an assertion over the bare digest or nonce, as a service that makes challenges would ask for", async () => {
      const [seen, ceremony] = [nonce(), create(party)];
      const wire = { ceremony: wireOf(ceremony), nonce: seen };
      const digest = ceremonyDigest(world.separator, ceremony);
      for (const challenge of [digest, Buffer.from(seen.slice(2), "hex")]) {
        const body = { ...wire, assertion: await tap(party, challenge), challenge: toBase64url(challenge) };
        expect(outcomeOf(await ask(body))).to.equal("payload_invalid");
      }
      expect(outcomeOf(await ask({ ...wire, assertion: await tap(party, challengeOf(seen, ceremony)) }))).to.equal(
        "ok",
      );
    });

    it("each part of the assertion altered", async () => {
      const body = await honest();
      const assertion = body["assertion"] as Readonly<Record<string, string>>;
      for (const [member, text] of Object.entries(assertion)) {
        const bytes = Buffer.from(text, "base64url");
        bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
        const changed = { ...body, assertion: { ...assertion, [member]: toBase64url(bytes) } };
        expect(outcomeOf(await ask(changed)), member).to.equal("payload_invalid");
      }
      expect(outcomeOf(await ask(body))).to.equal("ok");
    });

    it("a member that is missing or has another form", async () => {
      const body = await honest();
      for (const outer of ["ceremony", "nonce", "assertion"]) {
        for (const value of [undefined, null, 1, [], {}, "x"]) {
          expect(outcomeOf(await ask({ ...body, [outer]: value })), outer).to.equal("request_malformed");
        }
      }
      for (const outer of ["ceremony", "assertion"] as const) {
        const inner = body[outer] as Message;
        for (const member of Object.keys(inner)) {
          for (const value of [undefined, null, [], {}, true]) {
            const changed = { ...body, [outer]: { ...inner, [member]: value } };
            expect(outcomeOf(await ask(changed)), `${outer}.${member}`).to.equal("request_malformed");
          }
        }
      }
      expect(outcomeOf(await ask(body))).to.equal("ok");
    });
  });
});
