import { expect } from "chai";
import hre, { ethers } from "hardhat";

import P256VerifierModule from "../../../ignition/modules/P256Verifier";
import vectors from "../../vectors/eip-7951-test-vectors.json";

const ONE = `0x${"00".repeat(31)}01`;
const HALF_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n / 2n;

/** Whether the input's `s` is in the upper half: the precompile accepts it, our verifier does not. */
function isHighS(input: string): boolean {
  return input.length === 320 && BigInt(`0x${input.slice(128, 192)}`) > HALF_ORDER;
}

describe("P256Verifier", function () {
  this.timeout(300_000);

  it("agrees with every published call of EIP-7951, low-s aside", async () => {
    const { verifier } = await hre.ignition.deploy(P256VerifierModule);
    const to = await verifier.getAddress();
    for (const { Input, Expected, Name } of vectors) {
      const answer = await ethers.provider.call({ to, data: `0x${Input}` });
      expect(answer, Name).to.equal(isHighS(Input) ? "0x" : `0x${Expected}`);
    }
  });

  it("answers nothing to an input that is not 160 bytes", async () => {
    const { verifier } = await hre.ignition.deploy(P256VerifierModule);
    const to = await verifier.getAddress();
    const good = vectors.find(({ Input, Expected }) => Expected !== "" && !isHighS(Input));
    if (good === undefined) throw new Error("no vector is valid with a low s");
    expect(await ethers.provider.call({ to, data: `0x${good.Input}` })).to.equal(ONE);
    for (const data of ["0x", `0x${good.Input.slice(2)}`, `0x${good.Input}00`]) {
      expect(await ethers.provider.call({ to, data })).to.equal("0x");
    }
  });

  it("the precompile, where this EVM has one, agrees with every published call", async () => {
    const to = "0x0000000000000000000000000000000000000100";
    const hasPrecompile = (process.env["HARDHAT_HARDFORK"] ?? "osaka") !== "cancun";
    for (const { Input, Expected, Name } of vectors) {
      const answer = await ethers.provider.call({ to, data: `0x${Input}` });
      expect(answer, Name).to.equal(hasPrecompile ? `0x${Expected}` : "0x");
    }
  });
});
