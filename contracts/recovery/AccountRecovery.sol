// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { GuardianSignature, IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import { IMasterAccount, Passkey } from "../interfaces/IMasterAccount.sol";
import { ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
import { PasskeyList } from "../libraries/PasskeyList.sol";
import { DelayedChanges } from "./DelayedChanges.sol";

/// @title Guardians give an account back to its owner
/// @notice Starting, cancelling and finishing a recovery.
/// @dev Guardians are in {GuardedAccounts}, what waits as long as a recovery is in {DelayedChanges}.
contract AccountRecovery is DelayedChanges {
    /// @inheritdoc IAccountRecovery
    address public immutable sidecarRegistry;

    bytes32 private constant RECOVER_TYPEHASH = keccak256(
        "Recover(address account,bytes32 newPasskeysHash,uint64 recoveryNonce,uint64 notBefore)"
    );
    bytes32 private constant CANCEL_RECOVERY_TYPEHASH = keccak256(
        "CancelRecovery(address account,uint64 recoveryNonce)"
    );

    /// @dev How long a signed `Recover` can be started with. With the longest delay it stays below {CANCEL_INTERVAL}.
    uint256 private constant START_WINDOW = 7 days;

    uint256 private constant CANCEL_INTERVAL = 30 days;

    /// @notice Binds the contract to a registry, for ever.
    /// @param sidecarRegistry_ Where the accounts' operators are.
    constructor(address sidecarRegistry_) EIP712("AgentKeys", "2") {
        if (sidecarRegistry_.code.length == 0) revert RegistryInvalid(sidecarRegistry_);
        sidecarRegistry = sidecarRegistry_;
    }

    /// @inheritdoc IAccountRecovery
    function start(
        address account,
        Passkey[] calldata newPasskeys,
        uint64 notBefore,
        GuardianSignature[] calldata signatures
    ) external {
        Guarded storage guarded = _requireIdle(account);
        uint256 earliest = block.timestamp + guarded.state.delay;
        uint256 latest = earliest + START_WINDOW;
        if (notBefore < earliest || notBefore > latest) revert NotBeforeInvalid(notBefore, earliest, latest);
        PasskeyList.requireValid(newPasskeys);
        bytes32 newPasskeysHash = hashPasskeys(newPasskeys);
        uint64 nonce = guarded.state.nonce;
        _requireGuardians(guarded, recoverDigest(account, newPasskeysHash, nonce, notBefore), signatures);

        (guarded.state.nonce, guarded.state.notBefore) = (nonce + 1, uint48(notBefore));
        guarded.newPasskeysHash = newPasskeysHash;
        emit RecoveryStarted(account, nonce, notBefore, newPasskeys);
        _cancelTransfer(account);
    }

    /// @inheritdoc IAccountRecovery
    function cancel() external {
        Guarded storage guarded = _requirePending(msg.sender);
        uint256 allowedAt = guarded.state.cancellableAt;
        if (block.timestamp < allowedAt) revert CancelledRecently(block.timestamp, allowedAt);
        guarded.state.cancellableAt = uint48(block.timestamp + CANCEL_INTERVAL);
        _end(guarded);
        emit RecoveryCancelled(msg.sender, guarded.state.nonce - 1, false);
    }

    /// @inheritdoc IAccountRecovery
    function cancelByGuardians(address account, GuardianSignature[] calldata signatures) external {
        Guarded storage guarded = _requirePending(account);
        uint64 nonce = guarded.state.nonce - 1;
        _requireGuardians(guarded, cancelRecoveryDigest(account, nonce), signatures);
        _end(guarded);
        emit RecoveryCancelled(account, nonce, true);
    }

    /// @inheritdoc IAccountRecovery
    function finish(address account, Passkey[] calldata newPasskeys) external {
        Guarded storage guarded = _requirePending(account);
        _requireTime(guarded.state.notBefore);
        (bytes32 given, bytes32 expected) = (hashPasskeys(newPasskeys), guarded.newPasskeysHash);
        if (given != expected) revert NewPasskeysMismatch(given, expected);

        guarded.state.cancellableAt = 0;
        _end(guarded);
        emit RecoveryFinished(account, guarded.state.nonce - 1);
        IMasterAccount(account).replacePasskeys(newPasskeys[0]);
        for (uint256 i = 1; i < newPasskeys.length; ++i) IMasterAccount(account).addPasskey(newPasskeys[i]);
        _cancelTransfer(account);
    }

    /// @inheritdoc IAccountRecovery
    function pendingOf(
        address account
    ) external view returns (uint64 nonce, uint64 notBefore, bytes32 newPasskeysHash) {
        Guarded storage guarded = _accounts[account];
        notBefore = guarded.state.notBefore;
        if (notBefore != 0) (nonce, newPasskeysHash) = (guarded.state.nonce - 1, guarded.newPasskeysHash);
    }

    /// @inheritdoc IAccountRecovery
    function cancellableAt(address account) external view returns (uint64) {
        return _accounts[account].state.cancellableAt;
    }

    /// @inheritdoc IAccountRecovery
    function recoverDigest(
        address account,
        bytes32 newPasskeysHash,
        uint64 nonce,
        uint64 notBefore
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RECOVER_TYPEHASH, account, newPasskeysHash, nonce, notBefore)));
    }

    /// @inheritdoc IAccountRecovery
    function cancelRecoveryDigest(address account, uint64 nonce) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CANCEL_RECOVERY_TYPEHASH, account, nonce)));
    }

    /// @inheritdoc IAccountRecovery
    function hashPasskeys(Passkey[] calldata newPasskeys) public pure returns (bytes32) {
        return keccak256(abi.encode(newPasskeys));
    }

    function _requirePending(address account) private view returns (Guarded storage guarded) {
        guarded = _accounts[account];
        if (guarded.state.notBefore == 0) revert RecoveryNotPending(account);
    }

    function _end(Guarded storage guarded) private {
        guarded.state.notBefore = 0;
        delete guarded.newPasskeysHash;
    }

    /// @dev Only "there is none" passes as done: a call that fails for another reason (too little gas) must not.
    function _cancelTransfer(address account) private {
        try IMasterAccount(account).cancelTransfer(sidecarRegistry) {} catch (bytes memory reason) {
            bytes4 selector = bytes4(reason);
            if (
                selector != ISidecarRegistry.NoTransferAnnounced.selector &&
                selector != ISidecarRegistry.NotMaster.selector
            ) {
                assembly ("memory-safe") {
                    revert(add(reason, 0x20), mload(reason))
                }
            }
        }
    }
}
