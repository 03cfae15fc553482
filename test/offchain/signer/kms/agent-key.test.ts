import { expect } from "chai";
import { HDNodeWallet } from "ethers";
import fc from "fast-check";

import {
  agentAddressOf,
  derivationPath,
  keyIdOf,
  walletIdOf,
  withAgentKey,
} from "../../../../offchain/signer/vault/kms/agent-key";
import { type Hex, toHex } from "../../../../offchain/wire/bytes";
import { keccakReady } from "../../../../offchain/wire/keccak";
import { readKeyId } from "../../../../offchain/wire/kms";
import { anyBytes32 } from "../../../helpers/arbitraries";
import ceremony from "../../../vectors/ceremony.json";
import known from "../../../vectors/protocol.json";

const SEED = Buffer.alloc(32, 0x77);
// made with another implementation (ethers 6) and frozen in docs/protocol.md, section 3.8
const KNOWN = [
  {
    index: 0,
    address: "0xb3257ac78d5fc7c28d04d03929feb23f51b97e7b",
    secret: "0xc6614f090db4d70f68efdf2878d4851b2569d942fcc210d8ed8d6306b7667f7b",
  },
  {
    index: 1,
    address: "0x53e2c18325c99d17daeb866ef2095abb4335d7e6",
    secret: "0x3d3207d973a62948f93c638eda7a3798706770425164edfab37c71df036beec1",
  },
  {
    index: 20,
    address: "0x6ca0e5f966449a60e6000accb3272c95135fd654",
    secret: "0x09f02900f12c24a3450b54b769983095014e9f4f2aeae11943be05f0952980b9",
  },
  {
    index: 2_147_483_647,
    address: "0x693b503da37648ac49002d036d2808edf7b4e40e",
    secret: "0xf98d5063733717da2f35a59e01f6f7b6454900b7d7daaa41619749b8cbe86179",
  },
];

describe("vault: agent keys", () => {
  before(keccakReady);

  for (const { index, address, secret } of KNOWN) {
    it(`derives the known key at ${derivationPath(index)}`, () => {
      const derived = withAgentKey(SEED, index, (key) => ({ address: key.address, secret: toHex(key.secret) }));
      expect(derived).to.deep.equal({ address, secret });
      expect(agentAddressOf(SEED, index)).to.equal(address);
    });
  }

  it("derives what any BIP-32 wallet derives, at the path that it names", () => {
    fc.assert(
      fc.property(anyBytes32, fc.nat(2 ** 31 - 1), (seed, index) => {
        const wallet = HDNodeWallet.fromSeed(seed).derivePath(derivationPath(index));
        const ours = withAgentKey(Buffer.from(seed.slice(2), "hex"), index, (key) => ({
          address: key.address,
          secret: toHex(key.secret),
        }));
        expect(ours).to.deep.equal({ address: wallet.address.toLowerCase(), secret: wallet.privateKey });
      }),
      { numRuns: 20 },
    );
  });

  it("names the path", () => {
    expect(derivationPath(0)).to.equal("m/44'/60'/0'/1/0");
    expect(derivationPath(41)).to.equal("m/44'/60'/0'/1/41");
  });

  it("takes 32-byte seeds and indices of BIP-32 only", () => {
    for (const length of [0, 16, 31, 33, 64])
      expect(() => agentAddressOf(Buffer.alloc(length, 1), 0), `${length}`).to.throw(RangeError);
    for (const index of [-1, 2 ** 31, 1.5, NaN, Infinity])
      expect(() => agentAddressOf(SEED, index), `${index}`).to.throw(RangeError);
  });

  it("zeroes the key when its use is over, also when it throws, and leaves the seed", () => {
    let held: Uint8Array = Buffer.alloc(0);
    withAgentKey(SEED, 0, ({ secret }) => {
      held = secret;
      expect(toHex(secret)).to.equal(KNOWN[0]?.secret);
    });
    expect(toHex(held)).to.equal(`0x${"00".repeat(32)}`);
    held = Buffer.alloc(0);
    const boom = new Error("boom");
    expect(() =>
      withAgentKey(SEED, 1, ({ secret }) => {
        held = secret;
        throw boom;
      }),
    ).to.throw(boom);
    expect(held).to.have.length(32);
    expect(toHex(held)).to.equal(`0x${"00".repeat(32)}`);
    expect(SEED.every((byte) => byte === 0x77)).to.equal(true);
  });
});

describe("vault: names of agent keys", () => {
  const omni = known.operatorOmni as Hex;
  const account = known.masterAccount as Hex;

  it("has the frozen uuid and key id", () => {
    expect(walletIdOf(omni, account)).to.equal(ceremony.walletId);
    expect(keyIdOf(omni, account, 0)).to.equal(`${ceremony.walletId}:0`);
  });

  it("makes a uuid of version 8 and variant 10 that differs with operator and account, and reads its own ids", () => {
    const anyAccount = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => toHex(bytes));
    fc.assert(
      fc.property(anyBytes32, anyAccount, fc.nat(2 ** 31 - 1), (operator, master, index) => {
        const walletId = walletIdOf(operator, master);
        expect(walletId).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(readKeyId(keyIdOf(operator, master, index))).to.deep.equal({ walletId, index });
        if (operator !== omni) expect(walletIdOf(omni, master)).to.not.equal(walletId);
        if (master !== account) expect(walletIdOf(operator, account)).to.not.equal(walletId);
      }),
    );
  });
});
