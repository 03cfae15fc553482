import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { ZeroAddress, ZeroHash, id } from "ethers";
import { ethers } from "hardhat";

import { testDevice } from "../../helpers/device";
import { DAY, registerAgent, registries } from "../../helpers/registry";
import { standardMerkleTree } from "../../helpers/registry-merkle";

const LEAF = ["bytes32", "bytes32", "uint8", "bytes32"] as const;

describe("CredentialAudit", () => {
  const root = id("root");

  async function withAgent() {
    const r = await loadFixture(registries);
    await registerAgent(r, "agent-a", testDevice("agent"));
    return { ...r, actor: await r.sidecars.computeActorOmni(r.operator, "agent-a") };
  }

  describe("constructor", () => {
    it("names its registry and refuses an address without code", async () => {
      const { audit, sidecars, stranger } = await loadFixture(registries);
      expect(await audit.sidecarRegistry()).to.equal(await sidecars.getAddress());
      const factory = await ethers.getContractFactory("CredentialAudit");
      await expect(factory.deploy(stranger))
        .to.be.revertedWithCustomError(audit, "NotAContract")
        .withArgs(stranger.address);
    });
  });

  describe("setAuditor", () => {
    it("names and dismisses an auditor of the caller's operator only", async () => {
      const { audit, stranger, operator, rival } = await loadFixture(registries);
      await expect(audit.setAuditor(stranger, true))
        .to.emit(audit, "AuditorSet")
        .withArgs(operator, stranger.address, true);
      expect(await audit.mayAppend(operator, stranger)).to.equal(true);
      expect(await audit.mayAppend(rival, stranger)).to.equal(false);
      await audit.setAuditor(stranger, false);
      expect(await audit.mayAppend(operator, stranger)).to.equal(false);
    });

    it("refuses who is no master, and the zero address", async () => {
      const { audit, stranger, carol } = await loadFixture(registries);
      await expect(audit.connect(stranger).setAuditor(carol, true))
        .to.be.revertedWithCustomError(audit, "NotMaster")
        .withArgs(stranger.address);
      await expect(audit.setAuditor(ZeroAddress, true))
        .to.be.revertedWithCustomError(audit, "InvalidAuditor")
        .withArgs(ZeroAddress);
    });

    it("an auditor is dismissed with the master who named it", async () => {
      const { audit, sidecars, stranger, carol, operator } = await loadFixture(registries);
      await audit.setAuditor(stranger, true);
      await sidecars.transferOperator(carol);
      await time.increase(2 * DAY);
      await sidecars.connect(carol).acceptOperator(operator);
      expect(await audit.mayAppend(operator, stranger)).to.equal(false);
      expect(await audit.mayAppend(operator, carol)).to.equal(true);
    });
  });

  describe("append", () => {
    it("emits an entry about the operator or one of its agents", async () => {
      const { audit, alice, stranger, operator, actor } = await withAgent();
      await expect(audit.append(operator, actor, 7, id("envelope")))
        .to.emit(audit, "AuditEntry")
        .withArgs(operator, actor, id("envelope"), 7, alice.address);
      await audit.setAuditor(stranger, true);
      await expect(audit.connect(stranger).append(operator, operator, 0, id("envelope")))
        .to.emit(audit, "AuditEntry")
        .withArgs(operator, operator, id("envelope"), 0, stranger.address);
    });

    it("refuses everybody else, and other operators' actors", async () => {
      const { audit, bob, stranger, operator, rival, actor } = await withAgent();
      for (const caller of [bob, stranger]) {
        await expect(audit.connect(caller).append(operator, actor, 1, id("envelope")))
          .to.be.revertedWithCustomError(audit, "NotAuditor")
          .withArgs(caller.address, operator);
      }
      await expect(audit.append(ZeroHash, ZeroHash, 1, id("envelope"))).to.be.revertedWithCustomError(
        audit,
        "NotAuditor",
      );
      for (const omni of [rival, id("unknown"), ZeroHash]) {
        await expect(audit.append(operator, omni, 1, id("envelope")))
          .to.be.revertedWithCustomError(audit, "ActorNotOfOperator")
          .withArgs(omni, operator);
      }
    });
  });

  describe("appendRoot", () => {
    it("keeps the root with its count, kinds and time", async () => {
      const { audit, alice, operator, rival } = await loadFixture(registries);
      await expect(audit.appendRoot(operator, root, 3, 5))
        .to.emit(audit, "AuditRootAppended")
        .withArgs(operator, root, 3, 5, alice.address);
      expect([...(await audit.rootOf(operator, root))]).to.deep.equal([BigInt(await time.latest()), 3n, 5n]);
      expect([...(await audit.rootOf(rival, root))]).to.deep.equal([0n, 0n, 0n]);
    });

    it("refuses everybody else, empty batches and a root twice", async () => {
      const { audit, bob, operator, rival } = await loadFixture(registries);
      await expect(audit.connect(bob).appendRoot(operator, root, 1, 1))
        .to.be.revertedWithCustomError(audit, "NotAuditor")
        .withArgs(bob.address, operator);
      for (const [hash, count, kinds] of [
        [ZeroHash, 1, 1],
        [root, 0, 1],
        [root, 1, 0],
      ] as const) {
        await expect(audit.appendRoot(operator, hash, count, kinds))
          .to.be.revertedWithCustomError(audit, "InvalidRoot")
          .withArgs(hash, count, kinds);
      }
      await audit.appendRoot(operator, root, 1, 1);
      await expect(audit.appendRoot(operator, root, 1, 1))
        .to.be.revertedWithCustomError(audit, "RootAlreadyAppended")
        .withArgs(operator, root);
      await audit.connect(bob).appendRoot(rival, root, 1, 1);
    });
  });

  describe("verifyEntry", () => {
    it("builds trees as the published example", () => {
      const tree = standardMerkleTree(
        ["address", "uint256"],
        [
          ["0x1111111111111111111111111111111111111111", 5000000000000000000n],
          ["0x2222222222222222222222222222222222222222", 2500000000000000000n],
        ],
      );
      expect(tree.root).to.equal("0xd4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77");
    });

    it("accepts every entry of a batch, for every batch size, and nothing changed", async () => {
      const { audit, operator, rival, actor } = await withAgent();
      for (const size of [1, 2, 3, 5, 8]) {
        const entries = Array.from({ length: size }, (_, i) => [operator, actor, i, id(`${size}:${i}`)] as const);
        const tree = standardMerkleTree(LEAF, entries);
        await audit.appendRoot(operator, tree.root, size, 2 ** size - 1);
        for (const [i, [, , kind, envelope]] of entries.entries()) {
          const proof = tree.proof(i);
          const verify = (omni = operator, hash = tree.root, about = actor, op = kind, what = envelope, path = proof) =>
            audit.verifyEntry(omni, hash, about, op, what, path);
          expect(await verify()).to.equal(true);
          expect(await verify(rival)).to.equal(false);
          expect(await verify(operator, root)).to.equal(false);
          expect(await verify(operator, tree.root, operator)).to.equal(false);
          expect(await verify(operator, tree.root, actor, kind + 1)).to.equal(false);
          expect(await verify(operator, tree.root, actor, kind, root)).to.equal(false);
          expect(await verify(operator, tree.root, actor, kind, envelope, [...proof, root])).to.equal(false);
          if (size > 1) expect(await verify(operator, tree.root, actor, kind, envelope, [])).to.equal(false);
        }
      }
    });

    it("refuses a root that was not appended and a kind that the batch does not name", async () => {
      const { audit, operator, actor } = await withAgent();
      const tree = standardMerkleTree(LEAF, [[operator, actor, 200, root]]);
      expect(await audit.verifyEntry(operator, tree.root, actor, 200, root, [])).to.equal(false);
      await audit.appendRoot(operator, tree.root, 1, 2n ** 201n);
      expect(await audit.verifyEntry(operator, tree.root, actor, 200, root, [])).to.equal(false);
      const other = standardMerkleTree(LEAF, [[operator, actor, 201, root]]);
      await audit.appendRoot(operator, other.root, 1, 2n ** 201n);
      expect(await audit.verifyEntry(operator, other.root, actor, 201, root, [])).to.equal(true);
    });
  });
});
