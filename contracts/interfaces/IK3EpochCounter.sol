// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Which K3 is current, and what each was committed to
/// @notice A vault uses a key of an epoch only if it matches the commitment here.
/// @dev Ownable in two steps; the owner is governance, a timelock or multisig in production. Ownership cannot be renounced.
interface IK3EpochCounter {
    /// @notice Emitted for epoch 1 at deployment and for every later one. `timestamp` is the block's, Unix seconds.
    event K3Rotated(uint64 indexed epoch, bytes32 commitment, uint256 timestamp);

    /// @notice Thrown when a commitment is zero, or that of the epoch it would replace.
    error InvalidCommitment(bytes32 commitment);

    /// @notice Thrown when the last call of {advanceEpoch} was less than an hour ago.
    error AdvancedTooSoon(uint256 blockTime, uint256 allowedAt);

    /// @notice Thrown when the owner would leave the counter without one.
    error OwnershipNotRenounceable();

    /// @notice From 1.
    function currentEpoch() external view returns (uint64);

    /// @notice SHA-256("agentkeys-k3-commit" ‖ uint64 epoch big-endian ‖ K3[epoch]); zero for an epoch that is not yet.
    function commitmentOf(uint64 epoch) external view returns (bytes32);

    /// @notice Makes the next epoch current.
    /// @dev The owner only, at most once an hour (deployment does not count as a call). Reverts
    /// `OwnableUnauthorizedAccount`, {InvalidCommitment}, {AdvancedTooSoon}.
    /// @param commitment SHA-256("agentkeys-k3-commit" ‖ uint64 (currentEpoch + 1) big-endian ‖ its K3).
    function advanceEpoch(bytes32 commitment) external;
}
