// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { GuardianSignature, IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import { IMasterAccount } from "../interfaces/IMasterAccount.sol";
import { GuardedAccounts } from "./GuardedAccounts.sol";

/// @title What could outrun a recovery waits as long as one
/// @notice Scheduling, executing and cancelling another configuration or the end of a passkey.
/// @dev A change is kept under the recovery nonce of its time, so that raising the nonce drops all of them in constant gas.
abstract contract DelayedChanges is GuardedAccounts {
    bytes32 private constant CANCEL_CHANGE_TYPEHASH = keccak256(
        "CancelChange(address account,bytes32 change,uint64 readyAt)"
    );

    /// @inheritdoc IAccountRecovery
    function configure(bytes[] calldata guardians, uint8 threshold, uint32 delay) external {
        if (_accounts[msg.sender].state.threshold != 0) revert RecoveryAlreadyConfigured(msg.sender);
        if (threshold == 0) revert ThresholdInvalid(threshold, guardians.length);
        _configure(guardians, threshold, delay);
    }

    /// @inheritdoc IAccountRecovery
    function scheduleConfiguration(
        bytes[] calldata guardians,
        uint8 threshold,
        uint32 delay
    ) external returns (bytes32 change, uint64 ready) {
        _requireConfiguration(guardians, threshold, delay);
        change = configurationId(guardians, threshold, delay);
        ready = _schedule(change);
        emit ConfigurationScheduled(msg.sender, change, guardians, threshold, delay, ready);
    }

    /// @inheritdoc IAccountRecovery
    function executeConfiguration(bytes[] calldata guardians, uint8 threshold, uint32 delay) external {
        _execute(configurationId(guardians, threshold, delay));
        _configure(guardians, threshold, delay);
    }

    /// @inheritdoc IAccountRecovery
    function scheduleRemoval(bytes32 credIdHash) external returns (bytes32 change, uint64 ready) {
        change = removalId(credIdHash);
        ready = _schedule(change);
        emit RemovalScheduled(msg.sender, change, credIdHash, ready);
    }

    /// @inheritdoc IAccountRecovery
    function executeRemoval(bytes32 credIdHash) external {
        _execute(removalId(credIdHash));
        IMasterAccount(msg.sender).removePasskey(credIdHash);
    }

    /// @inheritdoc IAccountRecovery
    function cancelChange(bytes32 change) external {
        _requireScheduled(msg.sender, change);
        _drop(msg.sender, change);
        emit ChangeCancelled(msg.sender, change, false);
    }

    /// @inheritdoc IAccountRecovery
    function cancelChangeByGuardians(
        address account,
        bytes32 change,
        GuardianSignature[] calldata signatures
    ) external {
        uint64 ready = _requireScheduled(account, change);
        _requireGuardians(_accounts[account], cancelChangeDigest(account, change, ready), signatures);
        _drop(account, change);
        emit ChangeCancelled(account, change, true);
    }

    /// @inheritdoc IAccountRecovery
    function readyAt(address account, bytes32 change) public view returns (uint64) {
        Guarded storage guarded = _accounts[account];
        return guarded.changes[guarded.state.nonce][change];
    }

    /// @inheritdoc IAccountRecovery
    function cancelChangeDigest(address account, bytes32 change, uint64 ready) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CANCEL_CHANGE_TYPEHASH, account, change, ready)));
    }

    /// @inheritdoc IAccountRecovery
    function configurationId(bytes[] calldata guardians, uint8 threshold, uint32 delay) public pure returns (bytes32) {
        return keccak256(abi.encode(guardians, threshold, delay));
    }

    /// @inheritdoc IAccountRecovery
    function removalId(bytes32 credIdHash) public pure returns (bytes32) {
        return keccak256(abi.encode(credIdHash));
    }

    function _schedule(bytes32 change) private returns (uint64 ready) {
        Guarded storage guarded = _requireIdle(msg.sender);
        if (readyAt(msg.sender, change) != 0) revert ChangeAlreadyScheduled(msg.sender, change);
        ready = uint64(block.timestamp + guarded.state.delay);
        guarded.changes[guarded.state.nonce][change] = ready;
    }

    function _execute(bytes32 change) private {
        if (_accounts[msg.sender].state.notBefore != 0) revert RecoveryIsPending(msg.sender);
        _requireTime(_requireScheduled(msg.sender, change));
        _drop(msg.sender, change);
        emit ChangeExecuted(msg.sender, change);
    }

    function _requireScheduled(address account, bytes32 change) private view returns (uint64 ready) {
        ready = readyAt(account, change);
        if (ready == 0) revert ChangeNotScheduled(account, change);
    }

    function _drop(address account, bytes32 change) private {
        Guarded storage guarded = _accounts[account];
        delete guarded.changes[guarded.state.nonce][change];
    }
}
