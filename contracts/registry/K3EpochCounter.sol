// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";

import { IK3EpochCounter } from "../interfaces/IK3EpochCounter.sol";

/// @title Which K3 is current, and what each was committed to
/// @notice Counts epochs from 1 and keeps the commitment of each.
contract K3EpochCounter is IK3EpochCounter, Ownable2Step {
    uint256 private constant INTERVAL = 1 hours;

    /// @inheritdoc IK3EpochCounter
    uint64 public currentEpoch;

    /// @dev Unix seconds from which {advanceEpoch} may be called; 0 until its first call.
    uint64 private _allowedAt;

    /// @dev epoch → commitment
    mapping(uint64 epoch => bytes32 commitment) private _commitments;

    /// @notice Starts epoch 1.
    /// @param owner Governance.
    /// @param firstCommitment SHA-256("agentkeys-k3-commit" ‖ uint64 1 big-endian ‖ K3[1]), not zero.
    constructor(address owner, bytes32 firstCommitment) Ownable(owner) {
        _commit(firstCommitment);
    }

    /// @inheritdoc IK3EpochCounter
    function advanceEpoch(bytes32 commitment) external onlyOwner {
        if (block.timestamp < _allowedAt) revert AdvancedTooSoon(block.timestamp, _allowedAt);
        _allowedAt = uint64(block.timestamp + INTERVAL);
        _commit(commitment);
    }

    /// @inheritdoc IK3EpochCounter
    function commitmentOf(uint64 epoch) external view returns (bytes32) {
        return _commitments[epoch];
    }

    /// @notice Always reverts: without an owner a stolen K3 could never be rotated away.
    function renounceOwnership() public pure override {
        revert OwnershipNotRenounceable();
    }

    function _commit(bytes32 commitment) private {
        uint64 last = currentEpoch;
        if (commitment == 0 || commitment == _commitments[last]) revert InvalidCommitment(commitment);
        uint64 epoch = last + 1;
        currentEpoch = epoch;
        _commitments[epoch] = commitment;
        emit K3Rotated(epoch, commitment, block.timestamp);
    }
}
