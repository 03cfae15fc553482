import { expect } from "chai";
import { Wallet, getBytes, verifyMessage } from "ethers";
import fc from "fast-check";

import {
  eip191Digest,
  encodeAgentSignature,
  isAgentSignature,
  readAgentSignature,
  signAsAgent,
} from "../../../offchain/wire/agent-signature";
import { type Hex, fromHex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { addressOf } from "../../../offchain/wire/secp256k1";
import { anyBytes32 } from "../../helpers/arbitraries";
import { badSignatureValues } from "../../helpers/bad-signatures";

const SECRET = Buffer.alloc(32, 0x88);
const KEY: Hex = "0x62f94e9ac9349bccc61bfe66ddade6292702ecb6";
const ACCOUNT: Hex = `0x${"11".repeat(20)}`;
const HASH: Hex = `0x${"cd".repeat(32)}`;
// frozen in docs/protocol.md, section 3.8
const DIGEST = "0x7603bfbbb233885aa07b72f32f37219a24dfbe01efd2107d12e2b29a32be2256";
const SIGNATURE =
  "0x08111111111111111111111111111111111111111162f94e9ac9349bccc61bfe66ddade6292702ecb6eb6d90446f9f15bbc7b399043d4ea1ba5d155dec1f56afcf5bea05f3ab65556643c07b7a9702e51dacbb6a96e7e9a2bfe90306445df0f0df4af6d0d22dd52dba1b";
// any scalar that is surely in range
const secrets = anyBytes32.map((bytes): Hex => `0x01${bytes.slice(4)}`);

describe("wire: the agent's signature", () => {
  before(keccakReady);
  const good = (): Hex => signAsAgent(ACCOUNT, fromHex(HASH), SECRET);
  const expected = { account: ACCOUNT, key: KEY, bytes32: fromHex(HASH) };

  it("has the frozen 106 bytes", () => {
    expect(addressOf(SECRET)).to.equal(KEY);
    expect(toHex(eip191Digest(fromHex(HASH)))).to.equal(DIGEST);
    expect(good()).to.equal(SIGNATURE);
    expect(fromHex(good())).to.have.length(106);
  });

  it("is laid out as 0x08, account, key, r, s, v, and recovers to the key it names", () => {
    fc.assert(
      fc.property(anyBytes32, secrets, fc.uint8Array({ minLength: 20, maxLength: 20 }), (hash, secret, sender) => {
        const account = toHex(sender);
        const signature = signAsAgent(account, fromHex(hash), fromHex(secret));
        const wallet = new Wallet(secret);
        expect(signature.slice(0, 84)).to.equal(`0x08${account.slice(2)}${wallet.address.slice(2).toLowerCase()}`);
        expect(verifyMessage(getBytes(hash), `0x${signature.slice(84)}`)).to.equal(wallet.address);
        expect(`0x${signature.slice(84)}`).to.equal(wallet.signMessageSync(getBytes(hash)));
        const key = addressOf(fromHex(secret));
        expect(isAgentSignature(signature, { account, key, bytes32: fromHex(hash) })).to.equal(true);
        expect(readAgentSignature(signature)).to.deep.equal({ account, key, signature: `0x${signature.slice(84)}` });
      }),
      { numRuns: 25 },
    );
  });

  it("is not a signature over the 32 bytes themselves", () => {
    const bare = Wallet.createRandom().signingKey.sign(HASH).serialized as Hex;
    expect(isAgentSignature(encodeAgentSignature({ account: ACCOUNT, key: KEY, signature: bare }), expected)).to.equal(
      false,
    );
    const own = new Wallet(toHex(SECRET)).signingKey.sign(HASH).serialized as Hex;
    expect(isAgentSignature(encodeAgentSignature({ account: ACCOUNT, key: KEY, signature: own }), expected)).to.equal(
      false,
    );
  });

  it("is wrapped for 32 bytes only", () => {
    for (const length of [0, 31, 33, 64]) {
      expect(() => eip191Digest(Buffer.alloc(length)), `${length}`).to.throw(RangeError);
      expect(() => signAsAgent(ACCOUNT, Buffer.alloc(length), SECRET), `${length}`).to.throw(RangeError);
    }
  });

  it("is refused with any one part changed", () => {
    const sound = good();
    expect(isAgentSignature(sound, expected)).to.equal(true);
    const forms: readonly unknown[] = [
      undefined,
      null,
      1,
      [sound],
      "",
      "0x",
      `${sound}00`,
      sound.slice(0, -2),
      sound.slice(2),
      `0x${sound.slice(2).toUpperCase()}`,
      `0x09${sound.slice(4)}`,
      ` ${sound.slice(1)}`,
    ];
    for (const form of forms) {
      expect(readAgentSignature(form), String(form)).to.equal(undefined);
      expect(isAgentSignature(form, expected), String(form)).to.equal(false);
    }
    for (const { name, sig } of badSignatureValues(`0x${sound.slice(84)}`)) {
      const signature = encodeAgentSignature({ account: ACCOUNT, key: KEY, signature: sig });
      expect(isAgentSignature(signature, expected), name).to.equal(false);
    }
    const other: Hex = `0x${"22".repeat(20)}`;
    const named = encodeAgentSignature({ account: ACCOUNT, key: other, signature: `0x${sound.slice(84)}` });
    expect(isAgentSignature(named, expected)).to.equal(false);
    expect(isAgentSignature(named, { ...expected, key: other })).to.equal(false);
    expect(isAgentSignature(sound, { ...expected, account: other })).to.equal(false);
    expect(isAgentSignature(sound, { ...expected, bytes32: Buffer.alloc(32) })).to.equal(false);
  });
});
