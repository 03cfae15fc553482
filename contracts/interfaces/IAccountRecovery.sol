// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What others ask of the recovery contract
interface IAccountRecovery {
    /// @notice Whether a recovery of the account was started and is neither finished nor cancelled.
    /// @param account The master account.
    /// @return True from the start on, also after its delay.
    function isPending(address account) external view returns (bool);
}
