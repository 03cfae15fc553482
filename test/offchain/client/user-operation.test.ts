import { expect } from "chai";
import * as fc from "fast-check";

import type { EntryPointVersion } from "../../../offchain/chain/deployment";
import { type PackedUserOperation, entryPointAt } from "../../../offchain/chain/entry-point";
import { knownContracts } from "../../../offchain/chain/known-contracts";
import { type AccountCall, decodeExecute, describeCalls, encodeExecute } from "../../../offchain/client/account-calls";
import type { Authenticator } from "../../../offchain/client/authenticator";
import { newSoftwarePasskey, softwareAuthenticator } from "../../../offchain/client/software-authenticator";
import {
  type EntryPointDomain,
  type SigningRequest,
  packOperation,
  signOperation,
  userOperationHash,
} from "../../../offchain/client/user-operation";
import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { SOME_COMMITMENT } from "../../helpers/registries";

const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => toHex(bytes));

const operations: fc.Arbitrary<PackedUserOperation> = fc.record({
  sender: hex(20),
  nonce: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  // an initCode of 0x7702… means a delegation to v0.8, which no account of ours has
  initCode: hex(0, 100).filter((code) => !code.startsWith("0x7702")),
  callData: hex(0, 300),
  accountGasLimits: hex(32),
  preVerificationGas: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  gasFees: hex(32),
  paymasterAndData: hex(0, 100),
  signature: hex(0, 100),
});

const calls: fc.Arbitrary<AccountCall> = fc.record({
  to: hex(20),
  value: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  data: hex(0, 200),
});

describe("userOperationHash", () => {
  let node: HardhatNode;

  before(async () => {
    await keccakReady();
    node = await startHardhatNode();
  });

  after(() => node.stop());

  for (const version of ["0.7", "0.8"] as const satisfies readonly EntryPointVersion[]) {
    it(`is the EntryPoint's own for random operations, ${version}`, async () => {
      const { entryPoint } = await deployAgentKeys({
        rpcUrl: node.url,
        k3Commitment: SOME_COMMITMENT,
        entryPointVersion: version,
      });
      const getUserOpHash = entryPointAt(entryPoint, node.provider).getFunction("getUserOpHash");
      await fc.assert(
        fc.asyncProperty(operations, async (operation) => {
          const here = userOperationHash(operation, { chainId: 31337, entryPoint, entryPointVersion: version });
          expect(here).to.equal(await getUserOpHash(operation));
        }),
        { numRuns: 50 },
      );
    });
  }
});

describe("encodeExecute and decodeExecute", () => {
  it("give back what was asked for", () => {
    fc.assert(
      fc.property(fc.array(calls, { minLength: 1, maxLength: 4 }), (asked) => {
        expect(decodeExecute(encodeExecute(asked))).to.deep.equal(asked);
      }),
    );
  });

  it("take no other calldata", () => {
    const good = encodeExecute([{ to: `0x${"11".repeat(20)}`, value: 0n, data: "0x1234" }]);
    for (const [name, bad] of [
      ["empty", "0x"],
      ["another function", `0xdeadbeef${good.slice(10)}`],
      ["another mode", good.replace("0x", "0x").slice(0, 10) + "02" + good.slice(12)],
      ["bytes behind", `${good}00`],
      ["cut short", good.slice(0, -64)],
    ] as const) {
      expect(decodeExecute(bad as Hex), name).to.equal(undefined);
    }
  });
});

describe("describeCalls", () => {
  it("shows raw data where it knows no better", () => {
    const call: AccountCall = { to: `0x${"11".repeat(20)}`, value: 5n, data: "0x1234" };
    expect(describeCalls([call], [])).to.deep.equal([
      "unknown contract 0x1111111111111111111111111111111111111111: 0x1234 sending 5 wei",
    ]);
    const known = knownContracts(
      {
        chainId: 1,
        contracts: {
          SidecarRegistry: call.to,
          ScopeRegistry: call.to,
          K3EpochCounter: call.to,
          CredentialAudit: call.to,
          AccountRecovery: call.to,
          WebAuthnGuardian: call.to,
          MasterAccountFactory: call.to,
          OperatorPaymaster: call.to,
          SessionKeyValidator: call.to,
        },
        entryPoint: call.to,
        entryPointVersion: "0.8",
      },
      call.to,
    );
    expect(describeCalls([call], known)[0]).to.match(/^unknown contract/);
  });
});

describe("signOperation", () => {
  const account: Hex = `0x${"aa".repeat(20)}`;
  const asked: readonly AccountCall[] = [{ to: `0x${"11".repeat(20)}`, value: 0n, data: "0x1234" }];
  const domain: EntryPointDomain = { chainId: 31337, entryPoint: `0x${"ee".repeat(20)}`, entryPointVersion: "0.8" };
  const gas = {
    verificationGasLimit: 1n,
    callGasLimit: 2n,
    preVerificationGas: 3n,
    maxPriorityFeePerGas: 0n,
    maxFeePerGas: 0n,
  };
  let taps = 0;
  let authenticator: Authenticator;

  before(async () => {
    await keccakReady();
    const inner = softwareAuthenticator(newSoftwarePasskey());
    authenticator = {
      ...inner,
      getAssertion(challenge, shown) {
        taps += 1;
        return inner.getAssertion(challenge, shown);
      },
    };
  });

  function request(change: (good: PackedUserOperation) => Partial<PackedUserOperation> = () => ({})): SigningRequest {
    const good = packOperation({ sender: account, nonce: 0n, initCode: "0x", callData: encodeExecute(asked), gas });
    const operation = { ...good, ...change(good) };
    const hashOnChain = userOperationHash(operation, domain);
    const shown = ["a"];
    return {
      operation,
      domain,
      asked,
      account,
      initCode: "0x",
      paymasterAndData: "0x",
      hashOnChain,
      shown,
      authenticator,
    };
  }

  it("signs what was asked for", async () => {
    const signed = await signOperation(request());
    expect(signed.ok && signed.value.signature.length).to.be.above(600);
    expect(taps).to.equal(1);
  });

  const attacker: Hex = `0x${"66".repeat(20)}`;
  for (const [name, change, words] of [
    ["another call", () => ({ callData: encodeExecute([{ to: attacker, value: 0n, data: "0x" }]) }), /other calls/],
    [
      "one call more",
      () => ({ callData: encodeExecute([...asked, { to: attacker, value: 1n, data: "0x" }]) }),
      /other calls/,
    ],
    [
      "the same call with value",
      () => ({ callData: encodeExecute(asked.map((call) => ({ ...call, value: 1n }))) }),
      /other calls/,
    ],
    ["calldata that is no call", () => ({ callData: "0x12345678" }), /not a plain call/],
    ["another sender", () => ({ sender: attacker }), /another account/],
    ["an initCode", () => ({ initCode: attacker }), /deploys something else/],
    ["a paymaster", () => ({ paymasterAndData: attacker }), /paymaster/],
  ] as const satisfies readonly (readonly [string, () => Partial<PackedUserOperation>, RegExp])[]) {
    it(`refuses ${name} before the owner is asked`, async () => {
      taps = 0;
      const refused = await signOperation(request(change));
      expect(refused.ok ? "" : refused.failure.detail).to.match(words);
      expect(taps).to.equal(0);
    });
  }

  it("refuses a hash that is not the EntryPoint's", async () => {
    const refused = await signOperation({ ...request(), hashOnChain: toHex(Buffer.alloc(32)) });
    expect(refused.ok ? "" : refused.failure.detail).to.match(/another hash/);
  });

  it("refuses an assertion for another challenge, party or key, or without the user", async () => {
    const inner = softwareAuthenticator(newSoftwarePasskey());
    const other = softwareAuthenticator(newSoftwarePasskey("example.org"));
    for (const [name, forged, words] of [
      ["challenge", { ...inner, getAssertion: () => inner.getAssertion(Buffer.alloc(32), []) }, /another challenge/],
      ["party", { ...other, credential: { ...other.credential, rpId: "localhost" } }, /relying party/],
      ["key", { ...inner, getAssertion: authenticator.getAssertion.bind(authenticator) }, /another key/],
    ] as const) {
      const refused = await signOperation({ ...request(), authenticator: forged });
      expect(refused.ok ? "" : refused.failure.detail, name).to.match(words);
    }
  });
});
