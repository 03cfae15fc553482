// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { CanonicalExecution } from "../libraries/CanonicalExecution.sol";

/// @title What `CanonicalExecution` reads, all of it
/// @notice For the comparison with offchain/wire/execution.ts; never deployed elsewhere.
contract ExecutionReader {
    /// @notice One call as read.
    struct ReadCall {
        address to;
        uint256 value;
        bytes data;
    }

    /// @notice Reads as `SessionKeyValidator` does, or reverts as it does.
    /// @param callData An operation's.
    /// @return window The rate window.
    /// @return calls The calls.
    function read(bytes calldata callData) external pure returns (uint256 window, ReadCall[] memory calls) {
        bytes calldata data;
        uint256 count;
        uint256 at;
        (data, window, count, at) = CanonicalExecution.open(callData);
        calls = new ReadCall[](count);
        for (uint256 i = 0; i < count; ++i) {
            bytes calldata inner;
            (calls[i].to, calls[i].value, inner, at) = CanonicalExecution.callAt(data, at, i);
            calls[i].data = inner;
        }
        require(at == data.length, "bytes behind the last call");
    }
}
