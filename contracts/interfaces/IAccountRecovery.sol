// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Passkey } from "./IMasterAccount.sol";

/// @notice One guardian's consent.
struct GuardianSignature {
    /// @dev Position of the guardian in {IAccountRecovery.guardiansOf}; strictly ascending in a list.
    uint256 guardian;
    /// @dev What its kind of signer takes: 65 bytes r ‖ s ‖ v, an ERC-1271 signature, or an ERC-7913 one.
    bytes signature;
}

/// @title Guardians give an account back to its owner
/// @notice M of N guardians replace every passkey of a master account, after a delay in which a live passkey may object once.
/// @dev Vocabulary. *The account*: the caller, where a function names none; for a master account that is any one of its
/// passkeys. *Guardian*: an ERC-7913 signer, `address` (20 bytes: a key, or a contract by ERC-1271) or `verifier ‖ key`.
/// *Delay*: seconds between announcing and doing, for a recovery and for every change that could outrun one. *Change*: the
/// removal of a passkey, or another configuration, named by {removalId} and {configurationId}; it counts only for the
/// recovery nonce under which it was scheduled.
///
/// Off until configured. While on, `MasterAccount.removePasskey` refuses everyone but this contract. There is no owner, no
/// administrator and no upgrade. All times are Unix seconds. Signatures are EIP-712 under the domain
/// `{ name: "AgentKeys", version: "2", chainId, verifyingContract: this }`.
interface IAccountRecovery {
    // ------------------------------------------------------------------------------------------------------- events

    /// @notice Emitted when guardians, threshold and delay take effect; threshold 0 means off.
    event RecoveryConfigured(address indexed account, bytes[] guardians, uint8 threshold, uint32 delay);

    /// @notice Emitted when the account announces another configuration, which can take effect from `readyAt` on.
    event ConfigurationScheduled(
        address indexed account,
        bytes32 indexed change,
        bytes[] guardians,
        uint8 threshold,
        uint32 delay,
        uint64 readyAt
    );

    /// @notice Emitted when the account announces the end of a passkey, possible from `readyAt` on.
    event RemovalScheduled(address indexed account, bytes32 indexed change, bytes32 indexed credIdHash, uint64 readyAt);

    /// @notice Emitted when an announced change is withdrawn, by the account or by guardians.
    event ChangeCancelled(address indexed account, bytes32 indexed change, bool byGuardians);

    /// @notice Emitted when an announced change has taken effect.
    event ChangeExecuted(address indexed account, bytes32 indexed change);

    /// @notice Emitted when guardians start a recovery. Every scheduled change of the account is void from here on.
    /// @param account The master account.
    /// @param recoveryNonce The one that their signatures used up.
    /// @param notBefore Unix seconds from which {finish} works.
    /// @param newPasskeys What {finish} must be given.
    event RecoveryStarted(
        address indexed account,
        uint64 indexed recoveryNonce,
        uint64 notBefore,
        Passkey[] newPasskeys
    );

    /// @notice Emitted when a recovery is stopped, by a live passkey or by guardians.
    event RecoveryCancelled(address indexed account, uint64 indexed recoveryNonce, bool byGuardians);

    /// @notice Emitted when the account has its new passkeys, and no other.
    event RecoveryFinished(address indexed account, uint64 indexed recoveryNonce);

    // ------------------------------------------------------------------------------------------------------- errors

    /// @notice Thrown by the constructor when there is no contract at the registry's address.
    error RegistryInvalid(address registry);

    /// @notice Thrown when the account has no guardians.
    error RecoveryNotConfigured(address account);

    /// @notice Thrown when the account has guardians: it must schedule.
    error RecoveryAlreadyConfigured(address account);

    /// @notice Thrown when a recovery of the account is pending.
    error RecoveryIsPending(address account);

    /// @notice Thrown when no recovery of the account is pending.
    error RecoveryNotPending(address account);

    /// @notice Thrown when a guardian is shorter than 20 bytes, of address zero, the account itself, or names a verifier
    /// without code.
    error GuardianInvalid(uint256 index, bytes guardian);

    /// @notice Thrown when a guardian stands twice in the list.
    error GuardianRepeated(uint256 index, bytes guardian);

    /// @notice Thrown when there are more guardians than 16.
    error TooManyGuardians(uint256 count, uint256 limit);

    /// @notice Thrown when the threshold is 0 with guardians, or above their number.
    error ThresholdInvalid(uint256 threshold, uint256 guardians);

    /// @notice Thrown when the delay is outside of its bounds, or not 0 where recovery is switched off.
    error DelayInvalid(uint256 delay, uint256 least, uint256 most);

    /// @notice Thrown when this very change is scheduled already.
    error ChangeAlreadyScheduled(address account, bytes32 change);

    /// @notice Thrown when this change is not scheduled, or was dropped.
    error ChangeNotScheduled(address account, bytes32 change);

    /// @notice Thrown when a change or a recovery comes before its time.
    error TooEarly(uint256 blockTime, uint256 readyAt);

    /// @notice Thrown when there are fewer signatures than the threshold.
    error TooFewSignatures(uint256 given, uint256 threshold);

    /// @notice Thrown when a signature names no guardian.
    error GuardianUnknown(uint256 index);

    /// @notice Thrown when a signature's guardian is not above that of the one before: out of order, or twice.
    error GuardiansNotAscending(uint256 index);

    /// @notice Thrown when a signature is not that guardian's over this message.
    error GuardianSignatureInvalid(uint256 index, bytes guardian);

    /// @notice Thrown when `notBefore` is outside of what may be started now.
    error NotBeforeInvalid(uint256 notBefore, uint256 earliest, uint256 latest);

    /// @notice Thrown when a recovery would leave the account without a passkey.
    error NoPasskeys();

    /// @notice Thrown when the passkeys are not those that were started with.
    error NewPasskeysMismatch(bytes32 given, bytes32 expected);

    /// @notice Thrown when a passkey cancelled a recovery less than 30 days ago.
    error CancelledRecently(uint256 blockTime, uint256 cancellableAt);

    // ------------------------------------------------------------------------------------- the account: configuration

    /// @notice Switches recovery on for the caller, at once.
    /// @dev Raises the recovery nonce. Reverts {RecoveryAlreadyConfigured}, {TooManyGuardians}, {GuardianInvalid},
    /// {GuardianRepeated}, {ThresholdInvalid}, {DelayInvalid}.
    /// @param guardians 1 to 16 different ERC-7913 signers.
    /// @param threshold How many of them must sign: 1 to their number.
    /// @param delay Seconds, 24 hours to 14 days; 48 hours by custom.
    function configure(bytes[] calldata guardians, uint8 threshold, uint32 delay) external;

    /// @notice Announces another configuration of the caller: guardians, threshold and delay at once.
    /// @dev Reverts {RecoveryNotConfigured}, {RecoveryIsPending}, {ChangeAlreadyScheduled}, and like {configure}.
    /// @param guardians As in {configure}; none to switch recovery off.
    /// @param threshold As in {configure}; 0 to switch off.
    /// @param delay As in {configure}; 0 to switch off.
    /// @return change {configurationId} of the three.
    /// @return readyAt Unix seconds: the present delay from now.
    function scheduleConfiguration(
        bytes[] calldata guardians,
        uint8 threshold,
        uint32 delay
    ) external returns (bytes32 change, uint64 readyAt);

    /// @notice Lets an announced configuration of the caller take effect; every other scheduled change becomes void.
    /// @dev Raises the recovery nonce, so that signatures under the old configuration are void too. Reverts
    /// {RecoveryIsPending}, {ChangeNotScheduled}, {TooEarly}, and like {configure}.
    function executeConfiguration(bytes[] calldata guardians, uint8 threshold, uint32 delay) external;

    /// @notice Announces the end of one of the caller's passkeys.
    /// @dev Reverts {RecoveryNotConfigured}, {RecoveryIsPending}, {ChangeAlreadyScheduled}.
    /// @param credIdHash keccak256 of the raw credential id; whether there is such a passkey is seen at the end.
    /// @return change {removalId} of it.
    /// @return readyAt Unix seconds: the present delay from now.
    function scheduleRemoval(bytes32 credIdHash) external returns (bytes32 change, uint64 readyAt);

    /// @notice Ends the announced passkey of the caller.
    /// @dev Reverts {RecoveryIsPending}, {ChangeNotScheduled}, {TooEarly}, and as `IMasterAccount.removePasskey`.
    function executeRemoval(bytes32 credIdHash) external;

    /// @notice Withdraws a change that the caller announced.
    /// @dev Reverts {ChangeNotScheduled}.
    function cancelChange(bytes32 change) external;

    /// @notice Withdraws a change of an account by its guardians. Anyone may submit.
    /// @dev Reverts {ChangeNotScheduled}, and like {start} about the signatures.
    /// @param account The master account.
    /// @param change {removalId} or {configurationId}.
    /// @param signatures The threshold or more, over {cancelChangeDigest} with the change's own {readyAt}.
    function cancelChangeByGuardians(address account, bytes32 change, GuardianSignature[] calldata signatures) external;

    // ---------------------------------------------------------------------------------------------------- recovery

    /// @notice Starts a recovery. Anyone may submit.
    /// @dev Uses up the recovery nonce, drops every scheduled change, and cancels an announced transfer of the account's
    /// operator. While it is pending nothing can be scheduled or executed, no session granted, no transfer announced or
    /// accepted. Reverts {RecoveryNotConfigured}, {RecoveryIsPending}, {NotBeforeInvalid}, {TooFewSignatures},
    /// {GuardiansNotAscending}, {GuardianUnknown}, {GuardianSignatureInvalid}, and as `IMasterAccount.addPasskey` for
    /// passkeys that {finish} would refuse ({NoPasskeys} for none).
    /// @param account The master account, deployed.
    /// @param newPasskeys 1 to 16, all of them its owners afterwards.
    /// @param notBefore Unix seconds from which {finish} works: the delay from now or up to 7 days more.
    /// @param signatures The threshold or more, over {recoverDigest} with the current {recoveryNonce}.
    function start(
        address account,
        Passkey[] calldata newPasskeys,
        uint64 notBefore,
        GuardianSignature[] calldata signatures
    ) external;

    /// @notice Stops the pending recovery of the caller; works once in 30 days.
    /// @dev Reverts {RecoveryNotPending}, {CancelledRecently}.
    function cancel() external;

    /// @notice Stops the pending recovery of an account by its guardians, always. Anyone may submit.
    /// @dev Reverts {RecoveryNotPending}, and like {start} about the signatures.
    /// @param account The master account.
    /// @param signatures The threshold or more, over {cancelRecoveryDigest} with the nonce of the pending recovery.
    function cancelByGuardians(address account, GuardianSignature[] calldata signatures) external;

    /// @notice Gives the account its new passkeys and takes everything from the old ones: they sign nothing any more, every
    /// session ends, an announced transfer is cancelled. Anyone may submit, from `notBefore` on.
    /// @dev The account's right to cancel is fresh afterwards. Reverts {RecoveryNotPending}, {TooEarly},
    /// {NewPasskeysMismatch}.
    /// @param account The master account.
    /// @param newPasskeys Those of {RecoveryStarted}, in the same order.
    function finish(address account, Passkey[] calldata newPasskeys) external;

    // -------------------------------------------------------------------------------------------------------- views

    /// @notice Whether the account has guardians.
    function isConfigured(address account) external view returns (bool);

    /// @notice Whether a recovery of the account was started and is neither finished nor cancelled.
    /// @param account The master account.
    /// @return True from the start on, also after its delay.
    function isPending(address account) external view returns (bool);

    /// @notice Guardians, threshold and delay in force; nothing and zeros while off.
    function configurationOf(
        address account
    ) external view returns (bytes[] memory guardians, uint8 threshold, uint32 delay);

    /// @notice The pending recovery; zeros when there is none.
    /// @return nonce What its signatures used up, and what {cancelRecoveryDigest} takes.
    /// @return notBefore Unix seconds from which {finish} works.
    /// @return newPasskeysHash {hashPasskeys} of what {finish} must be given.
    function pendingOf(address account) external view returns (uint64 nonce, uint64 notBefore, bytes32 newPasskeysHash);

    /// @notice The nonce that the next `Recover` must sign, from 0.
    function recoveryNonce(address account) external view returns (uint64);

    /// @notice Unix seconds from which a scheduled change can be executed; 0 when it is not scheduled, or was dropped.
    function readyAt(address account, bytes32 change) external view returns (uint64);

    /// @notice Unix seconds from which the account itself may cancel a recovery; 0 when it always may.
    function cancellableAt(address account) external view returns (uint64);

    /// @notice The registry whose operator transfers a recovery cancels.
    function sidecarRegistry() external view returns (address);

    /// @notice EIP-712 digest of `Recover(address account,bytes32 newPasskeysHash,uint64 recoveryNonce,uint64 notBefore)`.
    function recoverDigest(
        address account,
        bytes32 newPasskeysHash,
        uint64 nonce,
        uint64 notBefore
    ) external view returns (bytes32);

    /// @notice EIP-712 digest of `CancelRecovery(address account,uint64 recoveryNonce)`.
    function cancelRecoveryDigest(address account, uint64 nonce) external view returns (bytes32);

    /// @notice EIP-712 digest of `CancelChange(address account,bytes32 change,uint64 readyAt)`.
    function cancelChangeDigest(address account, bytes32 change, uint64 ready) external view returns (bytes32);

    /// @notice keccak256(abi.encode(Passkey[])), the `newPasskeysHash` of a `Recover`.
    function hashPasskeys(Passkey[] calldata newPasskeys) external pure returns (bytes32);

    /// @notice keccak256(abi.encode(bytes[] guardians, uint8 threshold, uint32 delay)).
    function configurationId(bytes[] calldata guardians, uint8 threshold, uint32 delay) external pure returns (bytes32);

    /// @notice keccak256(abi.encode(bytes32 credIdHash)).
    function removalId(bytes32 credIdHash) external pure returns (bytes32);
}
