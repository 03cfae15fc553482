// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ISessionKeyValidator } from "../interfaces/ISessionKeyValidator.sol";

/// @title The one encoding of `execute(bytes32 mode, bytes executionData)` with 1 to 16 calls
/// @notice Reads calldata from their first byte to their last and reverts with `CallDataNotCanonical` where the encoder
/// would have written another one, so that what is read here is what the account runs.
/// @dev The mode's first byte is 0 (ERC-7579 single call) or 1 (ERC-7821 batch), its last four are the rate window, all
/// others are zero. offchain/wire/execution.ts is the same off the chain. Each `bad` below gathers the differences between
/// what stands there and what should. Lengths have at most 32 bits, so that no sum overflows; a word read behind the end
/// is judged only after the end was.
library CanonicalExecution {
    /// @notice Reads all but the calls.
    /// @param callData The operation's.
    /// @return data The execution data.
    /// @return window The rate window.
    /// @return count How many calls there are, 1 to 16.
    /// @return next Where `callAt` finds the first; 0 for a single call.
    function open(
        bytes calldata callData
    ) internal pure returns (bytes calldata data, uint256 window, uint256 count, uint256 next) {
        uint256 bad;
        assembly ("memory-safe") {
            let head := callData.offset
            let mode := calldataload(add(head, 4))
            window := and(mode, 0xffffffff)
            data.offset := add(head, 100)
            data.length := calldataload(add(head, 68))
            bad := or(xor(shr(224, calldataload(head)), 0xe9ae5c53), xor(calldataload(add(head, 36)), 64))
            bad := or(bad, xor(callData.length, add(100, and(add(data.length, 31), not(31)))))
            count := 1
            switch shr(32, mode)
            case 0 {
                bad := or(bad, lt(data.length, 52))
            }
            default {
                count := calldataload(add(head, 132))
                next := add(64, shl(5, count))
                bad := or(bad, or(xor(shl(216, 1), shr(32, mode)), xor(calldataload(data.offset), 32)))
                bad := or(bad, gt(sub(count, 1), 15))
            }
        }
        _require(bad, data);
    }

    /// @notice Reads one call.
    /// @param data The execution data.
    /// @param at Where it is: what `open`, and then each call, returned.
    /// @param index Which it is, from 0.
    /// @return to The target.
    /// @return value Wei.
    /// @return inner The call's data.
    /// @return next Where the one behind it is; after the last, the length of `data`.
    function callAt(
        bytes calldata data,
        uint256 at,
        uint256 index
    ) internal pure returns (address to, uint256 value, bytes calldata inner, uint256 next) {
        if (at == 0) {
            assembly ("memory-safe") {
                to := shr(96, calldataload(data.offset))
                value := calldataload(add(data.offset, 20))
                inner.offset := add(data.offset, 52)
                inner.length := sub(data.length, 52)
            }
            return (to, value, inner, data.length);
        }
        uint256 bad;
        assembly ("memory-safe") {
            let head := add(data.offset, at)
            to := calldataload(head)
            value := calldataload(add(head, 32))
            inner.offset := add(head, 128)
            inner.length := calldataload(add(head, 96))
            next := add(add(at, 128), and(add(inner.length, 31), not(31)))
            bad := or(shr(160, to), xor(calldataload(add(head, 64)), 96))
            bad := or(bad, xor(calldataload(add(data.offset, add(64, shl(5, index)))), sub(at, 64)))
            bad := or(bad, gt(next, data.length))
        }
        _require(bad, inner);
    }

    /// @notice Reverts when something is not what it should be.
    /// @param bad Zero when all before was right.
    /// @param data Also refused when longer than 32 bits can say, or padded with anything but zeros.
    function _require(uint256 bad, bytes calldata data) private pure {
        assembly ("memory-safe") {
            let padding := shl(3, and(sub(0, data.length), 31))
            bad := or(bad, shr(sub(256, padding), calldataload(add(data.offset, data.length))))
            bad := or(bad, shr(32, data.length))
        }
        if (bad != 0) revert ISessionKeyValidator.CallDataNotCanonical();
    }
}
