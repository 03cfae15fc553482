import { loadFixture } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import fc from "fast-check";
import { Wallet } from "ethers";

import { type Hex, fromHex, toHex } from "../../../offchain/wire/bytes";
import { deviceBindingDigest } from "../../../offchain/wire/device-binding";
import { type Domain, domainSeparator } from "../../../offchain/wire/eip712";
import { freezeDigest } from "../../../offchain/wire/freeze";
import { keccakReady } from "../../../offchain/wire/keccak";
import { actorOmni, deviceKeyHash, isLabel, operatorOmni } from "../../../offchain/wire/names";
import { addressOf, signDigest } from "../../../offchain/wire/secp256k1";
import { CAP_MINT } from "../../helpers/device";
import { registerMaster, registries } from "../../helpers/registry";

const RUNS = { numRuns: 50, seed: 20_260_101 };

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((value) => toHex(Buffer.from(value)));
const safe = fc.maxSafeNat();

describe("parity of wire/ and the contracts", () => {
  before(keccakReady);

  async function deployed() {
    const r = await loadFixture(registries);
    const domain: Domain = { chainId: 31337, registry: (await r.sidecars.getAddress()).toLowerCase() as Hex };
    return { ...r, separator: domainSeparator(domain) };
  }

  it("of the domain separator", async () => {
    const { sidecars, separator } = await deployed();
    expect(await sidecars.domainSeparator()).to.equal(toHex(separator));
  });

  it("of DeviceBinding digests", async () => {
    const { sidecars, separator } = await deployed();
    const binding = fc.record({
      operatorOmni: bytes(32),
      actorOmni: bytes(32),
      deviceKey: bytes(20),
      roles: fc.nat(255),
      attestationHash: bytes(32),
      deadline: safe,
    });
    await fc.assert(
      fc.asyncProperty(binding, async (b) => {
        expect(
          await sidecars.deviceBindingDigest(
            b.operatorOmni,
            b.actorOmni,
            b.deviceKey,
            b.roles,
            b.attestationHash,
            b.deadline,
          ),
        ).to.equal(toHex(deviceBindingDigest(separator, b)));
      }),
      RUNS,
    );
  });

  it("of Freeze digests", async () => {
    const { sidecars, separator } = await deployed();
    const order = fc.record({ operatorOmni: bytes(32), deviceKeyHash: bytes(32), freezeNonce: safe, deadline: safe });
    await fc.assert(
      fc.asyncProperty(order, async (o) => {
        expect(await sidecars.freezeDigest(o.operatorOmni, o.deviceKeyHash, o.freezeNonce, o.deadline)).to.equal(
          toHex(freezeDigest(separator, o)),
        );
      }),
      RUNS,
    );
  });

  it("of omnis and labels", async () => {
    const { sidecars } = await deployed();
    const label = fc.oneof(
      fc.stringMatching(/^[a-z0-9-]{1,32}$/),
      fc.string({ maxLength: 40 }),
      fc.string({ maxLength: 40, unit: "binary" }),
    );
    await fc.assert(
      fc.asyncProperty(bytes(20), bytes(32), label, async (account, parent, text) => {
        expect(await sidecars.computeOperatorOmni(account)).to.equal(operatorOmni(account));
        if (isLabel(text)) expect(await sidecars.computeActorOmni(parent, text)).to.equal(actorOmni(parent, text));
        else {
          await expect(sidecars.computeActorOmni(parent, text)).to.be.revertedWithCustomError(sidecars, "InvalidLabel");
        }
      }),
      RUNS,
    );
  });

  it("of device key hashes and signatures: what wire/ signs, checkPop recovers", async () => {
    const r = await deployed();
    const secret = fromHex(`0x${"5a".repeat(32)}`);
    const wallet = new Wallet(toHex(secret));
    expect(addressOf(secret)).to.equal(wallet.address.toLowerCase());
    const hash = deviceKeyHash(addressOf(secret));
    await registerMaster(r, { wallet, key: wallet.address, hash }, { roles: CAP_MINT });
    await fc.assert(
      fc.asyncProperty(bytes(32), async (digest) => {
        const sig = signDigest(fromHex(digest), secret);
        expect(await r.sidecars.checkPop(digest, sig, r.operator, r.operator, CAP_MINT)).to.equal(hash);
      }),
      RUNS,
    );
  });
});
