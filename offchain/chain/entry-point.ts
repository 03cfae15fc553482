import { Contract, type ContractRunner, Interface } from "ethers";

import type { Hex } from "../wire/bytes";
import type { EntryPointVersion } from "../wire/user-operation";

export type { PackedUserOperation } from "../wire/user-operation";

const OPERATION =
  "(address sender, uint256 nonce, bytes initCode, bytes callData, bytes32 accountGasLimits, " +
  "uint256 preVerificationGas, bytes32 gasFees, bytes paymasterAndData, bytes signature)";

/** The part of both EntryPoints that clients use; their ABI is the same there. */
export const ENTRY_POINT = new Interface([
  `function handleOps(${OPERATION}[] ops, address beneficiary)`,
  `function getUserOpHash(${OPERATION} userOp) view returns (bytes32)`,
  "function getNonce(address sender, uint192 key) view returns (uint256)",
  "function balanceOf(address account) view returns (uint256)",
  "function depositTo(address account) payable",
  "function getDepositInfo(address account) view returns ((uint256 deposit, bool staked, uint112 stake, uint32 unstakeDelaySec, uint48 withdrawTime) info)",
  "event UserOperationEvent(bytes32 indexed userOpHash, address indexed sender, address indexed paymaster, uint256 nonce, bool success, uint256 actualGasCost, uint256 actualGasUsed)",
  "event UserOperationRevertReason(bytes32 indexed userOpHash, address indexed sender, uint256 nonce, bytes revertReason)",
  "error FailedOp(uint256 opIndex, string reason)",
  "error FailedOpWithRevert(uint256 opIndex, string reason, bytes inner)",
]);

/** Where the EntryPoint stands on chains that have it. */
export const CANONICAL_ENTRY_POINT: Readonly<Record<EntryPointVersion, Hex>> = {
  "0.7": "0x0000000071727de22e5e9d8baf0edac6f37da032",
  "0.8": "0x4337084d9e255ff0702461cf8895ce9e3b5ff108",
};

/** The EntryPoint at an address. */
export function entryPointAt(address: Hex, runner: ContractRunner): Contract {
  return new Contract(address, ENTRY_POINT, runner);
}
