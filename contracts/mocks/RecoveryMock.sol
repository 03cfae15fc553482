// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title A recovery contract whose answers a test sets
/// @notice For tests of those who ask it; never deployed elsewhere.
contract RecoveryMock {
    /// @notice As `IAccountRecovery.isPending`.
    mapping(address account => bool) public isPending;

    /// @notice Sets what {isPending} answers.
    /// @param account The account.
    /// @param pending The answer.
    function set(address account, bool pending) external {
        isPending[account] = pending;
    }
}
