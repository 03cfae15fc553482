// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Which K3 is current, and what each was committed to
interface IK3EpochCounter {
    event K3Rotated(uint64 indexed epoch, bytes32 commitment, uint256 timestamp);

    /// @notice From 1.
    function currentEpoch() external view returns (uint64);

    /// @notice SHA-256("agentkeys-k3-commit" ‖ uint64 epoch big-endian ‖ K3[epoch]); zero for an epoch that is not yet.
    function commitmentOf(uint64 epoch) external view returns (bytes32);

    function advanceEpoch(bytes32 commitment) external;
}
