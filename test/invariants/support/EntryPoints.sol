// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { Artifacts } from "./Artifacts.sol";
import { Handler } from "./Handler.sol";
import { vm } from "./Vm.sol";

/// @notice What of EntryPoint v0.8 the handlers call.
interface IEntryPoint08 {
    function balanceOf(address account) external view returns (uint256);
    function depositTo(address account) external payable;
    function getNonce(address sender, uint192 key) external view returns (uint256);
    function getUserOpHash(PackedUserOperation calldata op) external view returns (bytes32);
    function handleOps(PackedUserOperation[] calldata ops, address payable beneficiary) external;
    function withdrawTo(address payable to, uint256 amount) external;
}

/// @title Handlers whose accounts act through EntryPoint v0.8
abstract contract EntryPointHandler is Handler {
    address internal constant BUNDLER = address(0xb0d1e4);
    uint256 internal constant GAS_PRICE = 1 gwei;

    IEntryPoint08 public immutable entryPoint;

    /// @notice The EntryPoint's words about the last bundle that it refused, for whoever looks into a failure.
    bytes public refusal;

    constructor() {
        entryPoint = IEntryPoint08(Artifacts.entryPoint());
        vm.deal(address(this), type(uint128).max);
    }

    function _operation(
        address sender,
        uint192 nonceKey,
        bytes memory callData
    ) internal view returns (PackedUserOperation memory op) {
        op.sender = sender;
        op.nonce = entryPoint.getNonce(sender, nonceKey);
        op.callData = callData;
        op.accountGasLimits = bytes32(abi.encodePacked(uint128(400_000), uint128(600_000)));
        op.preVerificationGas = 50_000;
        op.gasFees = bytes32(abi.encodePacked(uint128(GAS_PRICE), uint128(GAS_PRICE)));
    }

    /// @return True when every operation was validated; what each did is another question.
    function _handle(PackedUserOperation[] memory ops) internal returns (bool) {
        vm.prank(BUNDLER, BUNDLER);
        (bool ok, bytes memory answer) = address(entryPoint).call(
            abi.encodeCall(entryPoint.handleOps, (ops, payable(BUNDLER)))
        );
        refusal = answer;
        return ok;
    }

    function _handle(PackedUserOperation memory op) internal returns (bool) {
        PackedUserOperation[] memory ops = new PackedUserOperation[](1);
        ops[0] = op;
        return _handle(ops);
    }
}
