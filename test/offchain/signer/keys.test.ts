import { expect } from "chai";
import { createHash, hkdfSync, randomBytes } from "node:crypto";

import { hkdfExtract, hkdfFirstBlock, k3Commitment, objectKey } from "../../../offchain/signer/vault/k3";
import { unwrapKey, wrapKey } from "../../../offchain/signer/vault/key-wrap";
import { type Hex, fromHex, toHex } from "../../../offchain/wire/bytes";
import type { ObjectName } from "../../../offchain/wire/stored-by";
import hkdf from "../../vectors/hkdf-rfc5869.json";
import keyWrap from "../../vectors/key-wrap-rfc3394.json";
import protocol from "../../vectors/protocol.json";

const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");

describe("signer: key derivation and key wrap", () => {
  const name: ObjectName = {
    operatorOmni: protocol.operatorOmni as Hex,
    actorOmni: protocol.actorOmni as Hex,
    dataClass: "credentials",
    service: "openrouter",
  };
  const k3 = fromHex(protocol.objectKey.k3 as Hex);

  describe("HKDF-SHA256 (RFC 5869, Appendix A)", () => {
    for (const one of hkdf.cases) {
      it(one.name, () => {
        const prk = hkdfExtract(bytes(one.salt), bytes(one.ikm));
        expect(prk.toString("hex")).to.equal(one.prk);
        expect(hkdfFirstBlock(prk, [bytes(one.info)]).toString("hex")).to.equal(one.okm.slice(0, 64));
        // info in parts is info in one piece
        const half = bytes(one.info).length >> 1;
        const parts = [bytes(one.info).subarray(0, half), bytes(one.info).subarray(half)];
        expect(hkdfFirstBlock(prk, parts).toString("hex")).to.equal(one.okm.slice(0, 64));
      });
    }
  });

  describe("object key (protocol 3.6)", () => {
    it("is the known answer of protocol 3.10", () => {
      expect(toHex(objectKey(k3, name))).to.equal(protocol.objectKey.key);
    });

    it("is what another implementation of HKDF makes of the protocol's words", () => {
      for (let n = 0; n < 20; n += 1) {
        const ikm = randomBytes(32);
        const one: ObjectName = {
          operatorOmni: toHex(randomBytes(32)),
          actorOmni: toHex(randomBytes(32)),
          dataClass: (["credentials", "memory", "config"] as const)[n % 3] ?? "config",
          service: `service-${String(n)}`,
        };
        const info = Buffer.concat([
          Buffer.from("agentkeys.object.v1"),
          fromHex(one.operatorOmni),
          fromHex(one.actorOmni),
          Buffer.from(`${one.dataClass}\0${one.service}`),
        ]);
        const expected = Buffer.from(hkdfSync("sha256", ikm, "agentkeys.kek-salt.v2", info, 32));
        expect(objectKey(ikm, one).equals(expected)).to.equal(true);
      }
    });

    it("is another for every part of the name and every K3", () => {
      const others: readonly ObjectName[] = [
        name,
        { ...name, operatorOmni: toHex(randomBytes(32)) },
        { ...name, actorOmni: toHex(randomBytes(32)) },
        { ...name, operatorOmni: name.actorOmni, actorOmni: name.operatorOmni },
        { ...name, dataClass: "memory" },
        { ...name, dataClass: "config" },
        { ...name, service: "openroute" },
        { ...name, service: "r" },
      ];
      const keys = others.map((one) => toHex(objectKey(k3, one)));
      expect(new Set([...keys, toHex(objectKey(randomBytes(32), name))]).size).to.equal(others.length + 1);
    });
  });

  describe("AES-256 key wrap (RFC 3394, section 4)", () => {
    const kek = bytes(keyWrap.kek);
    for (const one of keyWrap.cases) {
      it(one.name, () => {
        expect(wrapKey(kek, bytes(one.key)).toString("hex")).to.equal(one.wrapped);
        expect(unwrapKey(kek, bytes(one.wrapped))?.toString("hex")).to.equal(one.key);
      });
    }

    it("nothing that was changed in any bit unwraps", () => {
      const wrapped = wrapKey(kek, randomBytes(64));
      expect(wrapped).to.have.length(72);
      for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
        const changed = Buffer.from(wrapped);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(unwrapKey(kek, changed), `bit ${String(bit)}`).to.equal(undefined);
      }
    });

    it("nor what was cut off, lengthened, or wrapped under another key", () => {
      const key = randomBytes(64);
      const wrapped = wrapKey(kek, key);
      for (let length = 0; length < wrapped.length; length += 1) {
        expect(unwrapKey(kek, wrapped.subarray(0, length)), String(length)).to.equal(undefined);
      }
      expect(unwrapKey(kek, Buffer.concat([wrapped, Buffer.alloc(8)]))).to.equal(undefined);
      expect(unwrapKey(kek, Buffer.concat([wrapped, Buffer.alloc(1)]))).to.equal(undefined);
      expect(unwrapKey(randomBytes(32), wrapped)).to.equal(undefined);
      expect(unwrapKey(kek, wrapped)?.equals(key)).to.equal(true);
    });
  });

  it("commitment: SHA-256 of the words of the contracts, epoch and K3", () => {
    for (const epoch of [1, 2, 2 ** 40]) {
      const number = Buffer.alloc(8);
      number.writeBigUInt64BE(BigInt(epoch));
      const words = Buffer.concat([Buffer.from("agentkeys-k3-commit"), number, k3]);
      const commitment = toHex(createHash("sha256").update(words).digest());
      expect(k3Commitment(epoch, k3)).to.equal(commitment);
    }
  });
});
