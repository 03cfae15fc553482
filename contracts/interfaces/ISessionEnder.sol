// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What an account asks of its session validator
/// @notice The part of the session validator that a recovery needs.
interface ISessionEnder {
    /// @notice Ends every session of the caller at once, in constant gas; never reverts.
    function revokeAll() external;
}
