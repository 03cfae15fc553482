import { expect } from "chai";
import { ethers } from "hardhat";

import type { EntryPointVersion } from "../../../ignition/modules/EntryPoint";
import { AccountWorld, EVM, testPasskey } from "../../helpers/account";
import { erc7562Violations } from "../../helpers/erc7562";
import { call, grant, rule, sessionOf, sessionOperation, signedByAgent, testAgent } from "../../helpers/session";

const VERSIONS: readonly EntryPointVersion[] = ["0.7", "0.8"];

for (const version of VERSIONS) {
  describe(`SessionKeyValidator: ERC-7562 on EntryPoint v${version}`, function () {
    this.timeout(300_000);
    before(function () {
      if (EVM === "prague") this.skip(); // Hardhat replays a traced transaction without RIP-7212's precompile
    });

    async function prepared() {
      const world = await AccountWorld.over(version);
      const account = await world.newAccount(testPasskey());
      const recorder = await ethers.deployContract("CallRecorder");
      const token = await ethers.deployContract("OddToken", [account.target, 1000n, 0, 0]);
      const agent = testAgent();
      const transfer = token.interface.getFunction("transfer").selector;
      const predicates = Array.from({ length: 16 }, (_, i) => ({
        word: i,
        comparison: 0,
        value: ethers.toBeHex(i, 32),
      }));
      await grant(
        world,
        account,
        await sessionOf(agent, {
          rules: [
            rule(recorder.target, "0x11223344"),
            { ...rule(recorder.target, "0x55667788"), predicates },
            rule(token.target, transfer),
          ],
          tokenLimits: [{ token: token.target, total: 100n }],
        }),
      );
      const entities = {
        entryPoint: world.domain.entryPoint,
        sender: (account.target as string).toLowerCase(),
        factory: (world.factory.target as string).toLowerCase(),
      };
      const plain = call(recorder.target, "0x11223344");
      const words = predicates.map(({ value }) => value.slice(2)).join("");
      const pay = token.interface.encodeFunctionData("transfer", [recorder.target, 3n]);
      const batch = [plain, call(recorder.target, `0x55667788${words}`), call(token.target, pay)];
      const sent = async (calls: typeof batch): Promise<string> =>
        (await world.handle(signedByAgent(world, await sessionOperation(world, account, calls), agent))).hash;
      return { world, account, recorder, entities, plain, batch, sent };
    }

    it("first call, second call and batch with predicates and tokens touch the account's storage only", async () => {
      const { entities, plain, batch, sent } = await prepared();
      for (const calls of [[plain], [plain], batch])
        expect(await erc7562Violations(await sent(calls), entities)).to.deep.equal([]);
    });

    it("the checker finds storage that is another account's", async () => {
      const { recorder, entities, plain, sent } = await prepared();
      const hash = await sent([plain]);
      // told that somebody else is the sender, it must object to the slots of the real one
      const other = { ...entities, sender: (recorder.target as string).toLowerCase(), factory: entities.sender };
      expect((await erc7562Violations(hash, other)).join()).to.match(/SLOAD in the storage of/);
    });
  });
}
