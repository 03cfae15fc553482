import { expect } from "chai";
import { TypedDataEncoder, concat, sha256, toUtf8Bytes } from "ethers";
import fc from "fast-check";

import { type Hex, ZERO32, toBase64url, toHex } from "../../../offchain/wire/bytes";
import {
  CEREMONY_TYPE,
  type Ceremony,
  type CeremonyPlace,
  type CeremonySubject,
  ceremonyChallenge,
  ceremonyDigest,
  ceremonyOf,
  readAssertionText,
  readCeremony,
} from "../../../offchain/wire/ceremony";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { readJson } from "../../../offchain/wire/json";
import { keccak256Hex, keccakReady } from "../../../offchain/wire/keccak";
import { anyBytes32, anyWhole } from "../../helpers/arbitraries";
import { notBytes32, notWhole, withMember } from "../../helpers/malformed";
import vectors from "../../vectors/ceremony.json";
import known from "../../vectors/protocol.json";

const TYPES = {
  Ceremony: [
    { name: "operation", type: "string" },
    { name: "operatorOmni", type: "bytes32" },
    { name: "account", type: "address" },
    { name: "keyId", type: "string" },
    { name: "label", type: "string" },
    { name: "deviceKeyHash", type: "bytes32" },
    { name: "signerOrigin", type: "string" },
    { name: "expiresAt", type: "uint64" },
  ],
};

const anyAddress = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => toHex(bytes));
const anyText = fc.string({ unit: "binary", maxLength: 80 });

const ceremonies: fc.Arbitrary<Ceremony> = fc.record({
  operation: fc.constantFrom("create", "refresh", "revoke"),
  operatorOmni: anyBytes32,
  account: anyAddress,
  keyId: anyText,
  label: anyText,
  deviceKeyHash: anyBytes32,
  signerOrigin: anyText,
  expiresAt: anyWhole,
});

const place: CeremonyPlace = {
  operatorOmni: known.operatorOmni as Hex,
  account: known.masterAccount as Hex,
  signerOrigin: vectors.signerOrigin,
  expiresAt: vectors.expiresAt,
};
const domain = { chainId: known.domain.chainId, registry: known.domain.registry as Hex };

describe("wire: ceremonies", () => {
  before(keccakReady);

  it("has the frozen type hash", () => {
    expect(keccak256Hex(Buffer.from(CEREMONY_TYPE))).to.equal(vectors.typeHash);
  });

  for (const { digest, challenge, ...subject } of vectors.ceremonies) {
    it(`gives the frozen digest and challenge: ${subject.operation}`, () => {
      const bytes = ceremonyDigest(domainSeparator(domain), ceremonyOf(subject as CeremonySubject, place));
      expect(toHex(bytes)).to.equal(digest);
      expect(toBase64url(ceremonyChallenge(vectors.nonce as Hex, bytes))).to.equal(challenge);
    });
  }

  it("leaves empty what an operation does not use", () => {
    const common = { ...place, keyId: "", label: "", deviceKeyHash: ZERO32 };
    const deviceKeyHash: Hex = `0x${"ab".repeat(32)}`;
    const keyId = `${vectors.walletId}:0`;
    const whole = (subject: CeremonySubject): Ceremony => ceremonyOf(subject, place);
    const create = { operation: "create", label: "a", deviceKeyHash } as const;
    expect(whole(create)).to.deep.equal({ ...common, ...create });
    const refresh = { operation: "refresh", keyId, deviceKeyHash } as const;
    expect(whole(refresh)).to.deep.equal({ ...common, ...refresh });
    const revoke = { operation: "revoke", keyId } as const;
    expect(whole(revoke)).to.deep.equal({ ...common, ...revoke });
  });

  it("gives the digest and challenge that others compute, for random ceremonies", () => {
    fc.assert(
      fc.property(ceremonies, fc.nat(), anyAddress, anyBytes32, (ceremony, chainId, registry, nonce) => {
        const ours = ceremonyDigest(domainSeparator({ chainId, registry }), ceremony);
        const theirs = TypedDataEncoder.hash(
          { name: "AgentKeys", version: "2", chainId, verifyingContract: registry },
          TYPES,
          ceremony,
        );
        expect(toHex(ours)).to.equal(theirs);
        const hashed = sha256(concat([toUtf8Bytes("agentkeys-ceremony-v1"), nonce, theirs]));
        expect(toHex(ceremonyChallenge(nonce, ours))).to.equal(hashed);
      }),
    );
  });

  it("gives another challenge when any one member, the nonce or the domain is another", () => {
    const separator = domainSeparator(domain);
    fc.assert(
      fc.property(ceremonies, ceremonies, anyBytes32, (one, other, nonce) => {
        const digest = ceremonyDigest(separator, one);
        const seen = new Set([toHex(ceremonyChallenge(nonce, digest))]);
        let changes = 0;
        for (const member of Object.keys(one) as (keyof Ceremony)[]) {
          if (one[member] === other[member]) continue;
          changes += 1;
          const changed = { ...one, [member]: other[member] };
          seen.add(toHex(ceremonyChallenge(nonce, ceremonyDigest(separator, changed))));
        }
        const elsewhere = domainSeparator({ ...domain, chainId: 1 });
        seen.add(toHex(ceremonyChallenge(nonce, ceremonyDigest(elsewhere, one))));
        seen.add(toHex(ceremonyChallenge(toHex(digest), digest)));
        expect(seen.size).to.equal(changes + 3);
      }),
    );
  });
});

describe("wire: a ceremony as services pass it on", () => {
  const good = {
    operation: "refresh",
    operator_omni: known.operatorOmni,
    account: known.masterAccount,
    key_id: `${vectors.walletId}:0`,
    label: "",
    device_key_hash: known.deviceKeyHash,
    signer_origin: vectors.signerOrigin,
    expires_at: vectors.expiresAt,
  };
  const text = JSON.stringify(good);
  const read = (json: string): Ceremony | undefined => {
    const value = readJson(Buffer.from(json));
    return value.ok ? readCeremony(value.value) : undefined;
  };

  it("is read", () => {
    const deviceKeyHash = known.deviceKeyHash as Hex;
    const subject: CeremonySubject = { operation: "refresh", keyId: good.key_id, deviceKeyHash };
    expect(read(text)).to.deep.equal(ceremonyOf(subject, place));
  });

  it("is refused in every other form", () => {
    const account = good.account;
    const rows: Readonly<Record<string, readonly string[]>> = {
      operation: ["null", "1", `""`, `"Create"`, `"delete"`, `["create"]`],
      operator_omni: notBytes32(good.operator_omni),
      account: ["null", "1", `""`, `"${account.slice(2)}"`, `"${account}00"`, `"0x${"AA".repeat(20)}"`],
      key_id: ["null", "1", "[]"],
      label: ["null", "1", "{}"],
      device_key_hash: notBytes32(good.device_key_hash),
      signer_origin: ["null", "1", "[]"],
      expires_at: notWhole(good.expires_at),
    };
    for (const [member, values] of Object.entries(rows)) {
      expect(read(withMember(text, member, undefined)), `${member} missing`).to.equal(undefined);
      for (const value of values)
        expect(read(withMember(text, member, value)), `${member}: ${value}`).to.equal(undefined);
    }
    for (const value of ["null", "1", `"a"`, `[${text}]`]) expect(read(value), value).to.equal(undefined);
  });
});

describe("wire: an assertion's four texts", () => {
  const good = { credentialId: "AA", authenticatorData: "AQ", clientDataJSON: "e30", signature: "MAA" };
  const text = JSON.stringify(good);
  const read = (json: string): unknown => {
    const value = readJson(Buffer.from(json));
    return value.ok ? readAssertionText(value.value) : undefined;
  };

  it("are read, and nothing beside them", () => {
    expect(read(text)).to.deep.equal(good);
    expect(read(withMember(text, "userHandle", `"AA"`))).to.deep.equal(good);
  });

  it("are all asked for", () => {
    for (const member of Object.keys(good)) {
      for (const value of [undefined, "null", "1", "[]", "{}"])
        expect(read(withMember(text, member, value)), `${member}: ${value}`).to.equal(undefined);
    }
    for (const value of ["null", "1", `"a"`, `[${text}]`]) expect(read(value), value).to.equal(undefined);
  });
});
