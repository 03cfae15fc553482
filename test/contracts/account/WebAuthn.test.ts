import { createECDH } from "node:crypto";

import { expect } from "chai";
import { concat, dataLength, dataSlice, getBytes, hexlify, id, keccak256, toBeHex } from "ethers";
import fc from "fast-check";
import { ethers } from "hardhat";

import type { MasterAccount } from "../../../typechain-types";
import {
  AccountWorld,
  type AssertionWish,
  EVM,
  N,
  assertion,
  authenticatorData,
  clientData,
  encodeSignature,
  randomHash,
  sha256,
  testPasskey,
} from "../../helpers/account";
import vectors from "../../vectors/webauthn-l3-vectors.json";

const ES256 = "a5010203262001215820";
const VALID = 0n;
const REFUSED = 1n;

describe("MasterAccount: assertions", function () {
  this.timeout(600_000);
  const passkey = testPasskey();
  const hash = randomHash();
  const other = clientData(randomHash());
  let world: AccountWorld;
  let account: MasterAccount;

  before(async () => {
    world = await AccountWorld.over("0.8");
    account = await world.newAccount(passkey);
  });

  const answer = (signature: string): Promise<bigint> => world.validationData(account, hash, signature);

  const accepted: Record<string, AssertionWish> = {
    "user present and verified": {},
    "eligible for backup": { authenticatorData: authenticatorData(0x0d) },
    "backed up": { authenticatorData: authenticatorData(0x1d) },
    "with extensions behind": {
      authenticatorData: authenticatorData(0x85, Buffer.from("a16a746573742d76616c75f5", "hex")),
    },
    "with members behind the challenge": {
      clientData: clientData(hash).replace(/}$/, ',"other":"do not compare against a template"}'),
    },
  };
  for (const [name, wish] of Object.entries(accepted)) {
    it(`accepts: ${name}`, async () => expect(await answer(assertion(passkey, hash, wish))).to.equal(VALID));
  }

  const refused: Record<string, AssertionWish> = {
    "user not present": { authenticatorData: authenticatorData(0x04) },
    "user not verified": { authenticatorData: authenticatorData(0x01) },
    "backed up without being eligible": { authenticatorData: authenticatorData(0x15) },
    "33 bytes of authenticator data": { authenticatorData: authenticatorData().subarray(0, 33) },
    "36 bytes of authenticator data": { authenticatorData: authenticatorData().subarray(0, 36) },
    "no authenticator data": { authenticatorData: Buffer.alloc(0) },
    "another relying party": {
      authenticatorData: Buffer.concat([sha256("example.com"), Buffer.from([5, 0, 0, 0, 0])]),
    },
    "a registration": { clientData: clientData(hash).replace("webauthn.get", "webauthn.create") },
    "a registration with an assertion inside": {
      clientData: `{"type":"webauthn.create","challenge":"${"A".repeat(43)}","nested":${clientData(hash)}}`,
    },
    "another challenge": { clientData: other },
    "another challenge with the right one inside": {
      clientData: other.replace(/}$/, `,"nested":${clientData(hash)}}`),
    },
    "the right challenge longer by a character": { clientData: clientData(hash).replace('","origin', 'A","origin') },
    "members in another order": {
      clientData: clientData(hash).replace(/^{("type":"webauthn.get"),("challenge":"[^"]*"),/, "{$2,$1,"),
    },
    "white space before the type": { clientData: clientData(hash).replace('{"type"', '{ "type"') },
    "empty client data": { clientData: "" },
    "a challenge index of 2^256 - 1": { challengeIndex: 2n ** 256n - 1n },
    "another challenge index": { challengeIndex: 22n },
    "another type index": { typeIndex: 2n },
    "s in the upper half": { s: (low) => N - low },
    "s of zero": { s: () => 0n },
    "s of the order": { s: () => N },
    "s plus the order": { s: (low) => (low + N) % 2n ** 256n },
    "r of zero": { r: 0n },
    "r of the order": { r: N },
    "r of 2^256 - 1": { r: 2n ** 256n - 1n },
    "another r": { r: 1n },
    "an unknown credential": { credIdHash: randomHash() },
    "the credential zero": { credIdHash: `0x${"00".repeat(32)}` },
  };
  for (const [name, wish] of Object.entries(refused)) {
    it(`refuses: ${name}`, async () => expect(await answer(assertion(passkey, hash, wish))).to.equal(REFUSED));
  }

  it("refuses a stranger's passkey under a credential id of the account", async () => {
    const { credIdHash } = passkey.contract;
    expect(await answer(assertion(testPasskey(), hash, { credIdHash }))).to.equal(REFUSED);
  });

  it("refuses an assertion over another hash", async () => {
    expect(await answer(assertion(passkey, randomHash()))).to.equal(REFUSED);
  });

  it("refuses every truncation, and bytes behind", async () => {
    const good = assertion(passkey, hash);
    for (let length = 0; length < dataLength(good); length += 1) {
      expect(await answer(dataSlice(good, 0, length)), `${String(length)} bytes`).to.equal(REFUSED);
    }
    for (const behind of ["0x00", `0x${"00".repeat(32)}`, `0x${"00".repeat(9000)}`]) {
      expect(await answer(concat([good, behind]))).to.equal(REFUSED);
    }
  });

  it("with too little gas is never called wrong", async () => {
    const operation = {
      ...(await world.operation(account.target as string, "0x")),
      signature: assertion(passkey, hash),
    };
    const data = account.interface.encodeFunctionData("validateUserOp", [operation, hash, 0n]);
    const call = { from: world.domain.entryPoint, to: account.target, data };
    const verificationOutOfGas = dataSlice(id("VerificationOutOfGas()"), 0, 4);
    const enough = await ethers.provider.estimateGas(call);
    const outcomes = new Set<string>();
    // the last steps cut SHA-256 and the verifier short, the first ones everything
    for (let gas = enough; gas > enough / 4n; gas -= enough / 200n) {
      outcomes.add(
        await ethers.provider.call({ ...call, gasLimit: gas }).then(
          (answer) => (BigInt(answer) === VALID ? "valid" : "wrong"),
          (error: unknown) => (String(error).includes(verificationOutOfGas) ? "VerificationOutOfGas" : "out of gas"),
        ),
      );
    }
    expect(outcomes).to.include("valid").and.not.include("wrong");
    // a 64th of what RIP-7212's precompile costs does not pay for the error's own words
    if (EVM !== "prague") expect(outcomes).to.include("VerificationOutOfGas");
  });

  it("refuses any word replaced by a hostile one, and never reverts", async () => {
    const good = assertion(passkey, hash);
    const hostile = [
      0n,
      1n,
      31n,
      32n,
      2n ** 16n,
      2n ** 32n,
      2n ** 64n - 1n,
      2n ** 128n,
      2n ** 255n,
      2n ** 256n - 32n,
      2n ** 256n - 1n,
    ];
    for (let offset = 0; offset < dataLength(good); offset += 32) {
      for (const word of hostile) {
        const changed = concat([
          dataSlice(good, 0, offset),
          toBeHex(word, 32),
          dataSlice(good, Math.min(offset + 32, dataLength(good))),
        ]);
        if (changed.startsWith(good)) continue;
        expect(await answer(changed), `${String(offset)}: ${String(word)}`).to.equal(REFUSED);
      }
    }
  });

  it("refuses random bytes, and never reverts", async () => {
    const bytes = fc.uint8Array({ maxLength: 1200 });
    const isPrefixed = fc.boolean();
    await fc.assert(
      fc.asyncProperty(bytes, isPrefixed, async (tail, prefixed) => {
        const head = prefixed ? passkey.contract.credIdHash : "0x";
        expect(await answer(concat([head, tail]))).to.equal(REFUSED);
      }),
      { numRuns: 200 },
    );
  });

  describe("of the W3C's ceremonies", () => {
    const ceremonies = vectors.filter(({ reg }) => reg.attestationObject.includes(ES256));

    async function accountOf(ceremony: (typeof vectors)[number]) {
      const { reg, auth } = ceremony;
      const ecdh = createECDH("prime256v1");
      ecdh.setPrivateKey(reg.credential_private_key ?? "", "hex");
      const key = ecdh.getPublicKey();
      const [x, y] = [hexlify(key.subarray(1, 33)), hexlify(key.subarray(33))];
      const contract = {
        credIdHash: keccak256(`0x${reg.credential_id}`),
        rpIdHash: hexlify(sha256("example.org")),
        x,
        y,
      };
      await (await world.factory.createAccount(contract, 0)).wait();
      const address = (await world.factory
        .getFunction("getAddress((bytes32,bytes32,bytes32,bytes32),uint256)")
        .staticCall(contract, 0)) as string;
      const owned = await ethers.getContractAt("MasterAccount", address);
      const der = Buffer.from(auth.signature, "hex");
      const rLength = der.readUInt8(3);
      const r = BigInt(hexlify(der.subarray(4, 4 + rLength)));
      const s = BigInt(hexlify(der.subarray(6 + rLength)));
      const signature = (data: Uint8Array): string =>
        encodeSignature(contract.credIdHash, {
          r,
          s: s > N / 2n ? N - s : s,
          challengeIndex: 23n,
          typeIndex: 1n,
          authenticatorData: data,
          clientData: Buffer.from(auth.clientDataJSON, "hex").toString("utf8"),
        });
      const data = Buffer.from(auth.authenticatorData, "hex");
      return { owned, challenge: `0x${auth.challenge}`, data, signature: signature(data) };
    }
    const isVerified = (ceremony: (typeof vectors)[number]): boolean =>
      (Buffer.from(ceremony.auth.authenticatorData, "hex").readUInt8(32) & 4) !== 0;

    it("ten are ES256, and some of them carry UV", () => {
      expect(ceremonies.length).to.equal(10);
      expect(ceremonies.filter(isVerified).length).to.be.within(1, 9);
    });

    for (const ceremony of ceremonies) {
      const title = `${ceremony.title}${isVerified(ceremony) ? "" : ", without UV"}`;
      it(`${isVerified(ceremony) ? "accepts" : "refuses"}: ${title}`, async () => {
        const { owned, challenge, signature } = await accountOf(ceremony);
        expect(await world.validationData(owned, challenge, signature)).to.equal(
          isVerified(ceremony) ? VALID : REFUSED,
        );
      });
    }

    // without the precompile a check takes the in-process EVM thirty times as long: one ceremony there
    for (const ceremony of ceremonies.filter(isVerified).slice(0, EVM === "osaka" ? undefined : 1)) {
      it(`refuses with any one bit flipped: ${ceremony.title}`, async () => {
        const { owned, challenge, signature } = await accountOf(ceremony);
        const bytes = getBytes(signature);
        const step = EVM === "cancun" ? 7 : 1;
        for (let bit = 0; bit < bytes.length * 8; bit += step) {
          const flipped = Uint8Array.from(bytes);
          flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          expect(await world.validationData(owned, challenge, hexlify(flipped)), `bit ${String(bit)}`).to.equal(
            REFUSED,
          );
        }
      });
    }
  });
});
