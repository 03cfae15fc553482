// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import { GuardianSignature, IAccountRecovery } from "../interfaces/IAccountRecovery.sol";

/// @title Accounts and their guardians
/// @notice Who guards which account, with which threshold and delay, and whether enough of them signed.
abstract contract GuardedAccounts is IAccountRecovery, EIP712 {
    /// @dev One word, all that most questions read.
    struct State {
        /// @dev 0 while recovery is off.
        uint8 threshold;
        /// @dev Seconds.
        uint32 delay;
        /// @dev Raised by every configuration and by every start; scheduled changes belong to one of its values.
        uint64 nonce;
        /// @dev Unix seconds from which the pending recovery can be finished; 0 while there is none.
        uint48 notBefore;
        /// @dev Unix seconds from which the account itself may cancel.
        uint48 cancellableAt;
    }

    struct Guarded {
        State state;
        bytes32 newPasskeysHash;
        bytes[] guardians;
        mapping(uint64 nonce => mapping(bytes32 change => uint64 readyAt)) changes;
    }

    uint256 private constant MAX_GUARDIANS = 16;
    uint256 private constant MIN_DELAY = 24 hours;
    uint256 private constant MAX_DELAY = 14 days;

    /// @dev account → everything about it
    mapping(address account => Guarded) internal _accounts;

    /// @inheritdoc IAccountRecovery
    function isConfigured(address account) external view returns (bool) {
        return _accounts[account].state.threshold != 0;
    }

    /// @inheritdoc IAccountRecovery
    function isPending(address account) external view returns (bool) {
        return _accounts[account].state.notBefore != 0;
    }

    /// @inheritdoc IAccountRecovery
    function configurationOf(
        address account
    ) external view returns (bytes[] memory guardians, uint8 threshold, uint32 delay) {
        Guarded storage guarded = _accounts[account];
        return (guarded.guardians, guarded.state.threshold, guarded.state.delay);
    }

    /// @inheritdoc IAccountRecovery
    function recoveryNonce(address account) external view returns (uint64) {
        return _accounts[account].state.nonce;
    }

    /// @dev Writes a configuration of the caller and voids what was signed or scheduled under the one before.
    function _configure(bytes[] calldata guardians, uint8 threshold, uint32 delay) internal {
        _requireConfiguration(guardians, threshold, delay);
        Guarded storage guarded = _accounts[msg.sender];
        delete guarded.guardians;
        for (uint256 i = 0; i < guardians.length; ++i) guarded.guardians.push(guardians[i]);
        State storage state = guarded.state;
        (state.threshold, state.delay) = (threshold, delay);
        ++state.nonce;
        emit RecoveryConfigured(msg.sender, guardians, threshold, delay);
    }

    /// @dev Refuses what could not recover the caller's account, or could too soon; nothing at all is the way to say off.
    function _requireConfiguration(bytes[] calldata guardians, uint8 threshold, uint32 delay) internal view {
        uint256 count = guardians.length;
        if (count > MAX_GUARDIANS) revert TooManyGuardians(count, MAX_GUARDIANS);
        if (threshold > count || (threshold == 0 && count != 0)) revert ThresholdInvalid(threshold, count);
        (uint256 least, uint256 most) = count == 0 ? (uint256(0), uint256(0)) : (MIN_DELAY, MAX_DELAY);
        if (delay < least || delay > most) revert DelayInvalid(delay, least, most);
        for (uint256 i = 0; i < count; ++i) {
            bytes calldata guardian = guardians[i];
            address signer = address(bytes20(guardian));
            if (
                guardian.length < 20 ||
                signer == address(0) ||
                signer == msg.sender ||
                (guardian.length > 20 && signer.code.length == 0)
            ) revert GuardianInvalid(i, guardian);
            for (uint256 j = 0; j < i; ++j) {
                if (keccak256(guardians[j]) == keccak256(guardian)) revert GuardianRepeated(i, guardian);
            }
        }
    }

    /// @dev The threshold or more, each a different guardian, each over `digest`. Guardians are asked by static calls.
    function _requireGuardians(
        Guarded storage guarded,
        bytes32 digest,
        GuardianSignature[] calldata signatures
    ) internal view {
        uint256 threshold = guarded.state.threshold;
        if (signatures.length < threshold) revert TooFewSignatures(signatures.length, threshold);
        uint256 count = guarded.guardians.length;
        uint256 next = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            uint256 index = signatures[i].guardian;
            if (index >= count) revert GuardianUnknown(index);
            if (index < next) revert GuardiansNotAscending(index);
            next = index + 1;
            bytes memory guardian = guarded.guardians[index];
            if (!SignatureChecker.isValidSignatureNow(guardian, digest, signatures[i].signature)) {
                revert GuardianSignatureInvalid(index, guardian);
            }
        }
    }

    /// @dev Guardians are there, and no recovery is pending.
    function _requireIdle(address account) internal view returns (Guarded storage guarded) {
        guarded = _accounts[account];
        if (guarded.state.threshold == 0) revert RecoveryNotConfigured(account);
        if (guarded.state.notBefore != 0) revert RecoveryIsPending(account);
    }

    function _requireTime(uint256 time) internal view {
        if (block.timestamp < time) revert TooEarly(block.timestamp, time);
    }
}
