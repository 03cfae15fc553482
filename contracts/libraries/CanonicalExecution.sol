// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ISessionKeyValidator } from "../interfaces/ISessionKeyValidator.sol";

/// @title The one encoding of `execute(bytes32 mode, bytes executionData)` with 1 to 16 calls
/// @notice Reads calldata from their first byte to their last and reverts with `CallDataNotCanonical` at the first one
/// that the encoder would not have written, so that what is read here is what the account runs.
/// @dev The mode's first byte is 0 (ERC-7579 single call) or 1 (ERC-7821 batch), its last four are the rate window, all
/// others are zero. offchain/wire/execution.ts is the same off the chain.
library CanonicalExecution {
    /// @dev Most calls of one operation.
    uint256 internal constant MAX_CALLS = 16;

    bytes4 private constant EXECUTE = 0xe9ae5c53; // execute(bytes32,bytes)
    uint256 private constant BATCH = 1 << 216; // the mode's first byte, its last four shifted out

    /// @notice Reads all but the calls.
    /// @param callData The operation's.
    /// @return data The execution data.
    /// @return window The rate window.
    /// @return count How many calls there are, 1 to 16.
    /// @return next Where `callAt` finds the first; 0 for a single call.
    function open(
        bytes calldata callData
    ) internal pure returns (bytes calldata data, uint32 window, uint256 count, uint256 next) {
        if (callData.length < 4 || bytes4(callData) != EXECUTE || _word(callData, 36) != 64) _refuse();
        uint256 mode = _word(callData, 4);
        window = uint32(mode);
        uint256 end;
        (data, end) = _bytes(callData, 68);
        if (end != callData.length) _refuse();
        if (mode >> 32 == 0) return (data, window, 1, 0);
        count = _word(data, 32);
        if (mode >> 32 != BATCH || _word(data, 0) != 32 || count == 0 || count > MAX_CALLS) _refuse();
        next = 64 + 32 * count;
    }

    /// @notice Reads one call.
    /// @param data The execution data.
    /// @param at Where it is: what `open`, and then each call, returned.
    /// @param index Which it is, from 0.
    /// @return to The target.
    /// @return value Wei.
    /// @return inner The call's data.
    /// @return next Where the one behind it is; the length of `data` after the last, as `close` demands.
    function callAt(
        bytes calldata data,
        uint256 at,
        uint256 index
    ) internal pure returns (address to, uint256 value, bytes calldata inner, uint256 next) {
        if (at == 0) {
            if (data.length < 52) _refuse();
            return (address(bytes20(data)), _word(data, 20), data[52:], data.length);
        }
        uint256 target = _word(data, at);
        if (_word(data, 64 + 32 * index) != at - 64 || target >> 160 != 0 || _word(data, at + 64) != 96) _refuse();
        to = address(uint160(target));
        value = _word(data, at + 32);
        (inner, next) = _bytes(data, at + 96);
    }

    /// @notice Nothing may follow the last call.
    /// @param data The execution data.
    /// @param next What the last call returned.
    function close(bytes calldata data, uint256 next) internal pure {
        if (next != data.length) _refuse();
    }

    /// @dev A `bytes` whose length is at `at`, and where its zero padding ends. No sum here overflows: every summand is
    /// at most the length of the calldata.
    function _bytes(bytes calldata within, uint256 at) private pure returns (bytes calldata value, uint256 next) {
        uint256 length = _word(within, at);
        if (length > within.length) _refuse();
        uint256 start = at + 32;
        uint256 rest = length % 32;
        next = start + length;
        if (rest != 0) {
            next += 32 - rest;
            if (_word(within, next - 32) << (8 * rest) != 0) _refuse();
        }
        if (next > within.length) _refuse();
        value = within[start:start + length];
    }

    function _word(bytes calldata within, uint256 at) private pure returns (uint256 word) {
        if (at + 32 > within.length) _refuse();
        assembly ("memory-safe") {
            word := calldataload(add(within.offset, at))
        }
    }

    function _refuse() private pure {
        revert ISessionKeyValidator.CallDataNotCanonical();
    }
}
