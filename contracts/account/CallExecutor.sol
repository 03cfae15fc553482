// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IMasterAccount } from "../interfaces/IMasterAccount.sol";

/// @title Execution of one call (ERC-7579) or a batch (ERC-7821); the first failure undoes everything
/// @notice Reads the execution mode and makes the calls.
abstract contract CallExecutor is IMasterAccount {
    struct Call {
        address to; // zero: the account itself
        uint256 value; // wei
        bytes data;
    }

    /// @dev First ten bytes of an execution mode: call type, execution type, four unused bytes, selector.
    uint256 private constant SINGLE = 0x00000000000000000000;
    uint256 private constant BATCH = 0x01000000000000000000;

    /// @inheritdoc IMasterAccount
    function supportsExecutionMode(bytes32 mode) external pure returns (bool) {
        uint256 kind = uint256(mode) >> 176;
        return kind == SINGLE || kind == BATCH;
    }

    function _execute(bytes32 mode, bytes calldata executionData) internal {
        uint256 kind = uint256(mode) >> 176;
        if (kind == SINGLE) {
            if (executionData.length < 52) revert ExecutionDataInvalid();
            _call(address(bytes20(executionData)), uint256(bytes32(executionData[20:])), executionData[52:]);
        } else if (kind == BATCH) {
            Call[] calldata calls = _calls(executionData);
            for (uint256 i = 0; i < calls.length; ++i) {
                Call calldata item = calls[i];
                _call(item.to, item.value, item.data);
            }
        } else {
            revert ExecutionModeUnsupported(mode);
        }
    }

    /// @dev abi.encode(Call[]) without copying it; each call's own offsets are checked by the compiler on use.
    function _calls(bytes calldata executionData) private pure returns (Call[] calldata calls) {
        bool ok;
        assembly ("memory-safe") {
            let offset := calldataload(executionData.offset)
            let head := add(executionData.offset, offset)
            calls.offset := add(head, 0x20)
            calls.length := calldataload(head)
            let end := add(executionData.offset, executionData.length)
            ok := and(gt(executionData.length, 0x3f), iszero(shr(64, or(offset, calls.length))))
            ok := and(ok, iszero(gt(add(calls.offset, shl(5, calls.length)), end)))
        }
        if (!ok) revert ExecutionDataInvalid();
    }

    function _call(address to, uint256 value, bytes calldata data) private {
        assembly ("memory-safe") {
            if iszero(to) {
                to := address()
            }
            let m := mload(0x40)
            calldatacopy(m, data.offset, data.length)
            if iszero(call(gas(), to, value, m, data.length, 0x00, 0x00)) {
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
        }
    }
}
