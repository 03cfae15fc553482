// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What test operations call: a slot to write, a failure with data, and a caller that calls back
/// @notice For tests and the gas table; never deployed elsewhere.
contract Target {
    /// @notice The last value written.
    uint256 public value;

    /// @notice Whether the call back of {callBack} succeeded.
    bool public isReentered;

    /// @notice Thrown by {fail}.
    /// @param word What `fail` was given.
    error Failed(uint256 word);

    /// @notice Writes one slot.
    /// @param word The value.
    function write(uint256 word) external payable {
        value = word;
    }

    /// @notice Always reverts.
    /// @param word Comes back in the error.
    function fail(uint256 word) external pure {
        revert Failed(word);
    }

    /// @notice Calls the caller with `data` and notes whether that succeeded.
    /// @param data The calldata.
    function callBack(bytes calldata data) external {
        (isReentered, ) = msg.sender.call(data);
    }
}
