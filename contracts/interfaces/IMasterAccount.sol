// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice One WebAuthn P-256 credential that owns the account.
struct Passkey {
    /// @dev keccak256 of the raw credential id.
    bytes32 credIdHash;
    /// @dev SHA-256 of the relying party id that the credential belongs to.
    bytes32 rpIdHash;
    /// @dev Affine coordinates of the public key, on the curve and not zero.
    bytes32 x;
    bytes32 y;
}

/// @title ERC-4337 account owned by passkeys
/// @notice Any one of its passkeys signs for it. A signature is `bytes32 credIdHash ‖ abi.encode(bytes32 r, bytes32 s,
/// uint256 challengeIndex, uint256 typeIndex, bytes authenticatorData, string clientDataJSON)`, the second part being
/// OpenZeppelin's `WebAuthn.WebAuthnAuth`, in its one canonical encoding: `challengeIndex` 23, `typeIndex` 1, no gaps,
/// zero padding, nothing behind, at most 8,192 bytes in all. The challenge is the hash to be signed, the client data
/// start `{"type":"webauthn.get","challenge":"`, user presence and verification are required, and `s` is in the lower
/// half of the order (authenticators give either half: the client replaces `s` by `n - s` where needed).
///
/// The account also has ERC-4337 `validateUserOp` (nonce key 0: passkeys, a bad signature answers 1 and never reverts;
/// the session validator's address as key: that module; any other key answers 1),
/// ERC-1271 `isValidSignature` through ERC-7739, EIP-712 `eip712Domain`, ERC-165, and the ERC-721/1155 callbacks.
/// @dev "The account" below means a call that the account makes to itself, or that the EntryPoint makes as the
/// execution of one of its user operations.
interface IMasterAccount {
    /// @notice Emitted when a passkey starts to sign for the account (not for the first one: it is part of the address).
    /// @param credIdHash keccak256 of the raw credential id.
    /// @param rpIdHash SHA-256 of the relying party id.
    /// @param x Affine x of the public key.
    /// @param y Affine y of the public key.
    event PasskeyAdded(bytes32 indexed credIdHash, bytes32 rpIdHash, bytes32 x, bytes32 y);

    /// @notice Emitted when a passkey stops signing for the account.
    /// @param credIdHash keccak256 of the raw credential id.
    event PasskeyRemoved(bytes32 indexed credIdHash);

    /// @notice Emitted when a recovery ends every passkey there was; the new ones follow as {PasskeyAdded}.
    /// @param generation The generation that begins, from 1.
    event PasskeysReplaced(uint256 indexed generation);

    /// @notice Thrown when the caller is none of those that may: the EntryPoint, the account itself, the recovery contract.
    /// @param caller Who called.
    error CallerNotAllowed(address caller);

    /// @notice Thrown when the account already has a passkey with this credential id.
    /// @param credIdHash The id's keccak256.
    error PasskeyExists(bytes32 credIdHash);

    /// @notice Thrown when another passkey of the account has this public key (or its negative).
    /// @param credIdHash The passkey that has it.
    error PublicKeyInUse(bytes32 credIdHash);

    /// @notice Thrown when (x, y) is not a point of P-256, or has a coordinate of the prime or above.
    /// @param x The x given.
    /// @param y The y given.
    error PublicKeyInvalid(bytes32 x, bytes32 y);

    /// @notice Thrown when the account has no such passkey.
    /// @param credIdHash What was asked for.
    error PasskeyUnknown(bytes32 credIdHash);

    /// @notice Thrown when the passkey to remove is the only one.
    /// @param credIdHash The passkey that stays.
    error LastPasskey(bytes32 credIdHash);

    /// @notice Thrown when a passkey cannot be ended at once, because recovery is configured:
    /// `IAccountRecovery.scheduleRemoval`.
    /// @param credIdHash The passkey that stays.
    error RemovalNeedsDelay(bytes32 credIdHash);

    /// @notice Thrown when the account already has the most passkeys that it can have.
    /// @param limit That number.
    error TooManyPasskeys(uint256 limit);

    /// @notice Thrown when the first ten bytes of the mode are neither of the two that `execute` knows.
    /// @param mode The mode given.
    error ExecutionModeUnsupported(bytes32 mode);

    /// @notice Thrown when the execution data are too short for their mode, or point outside of themselves.
    error ExecutionDataInvalid();

    /// @notice Makes `passkey` a full owner. Only the account and the recovery contract may call.
    /// @dev Reverts with `PublicKeyInvalid`, `PasskeyExists`, `PublicKeyInUse`, `TooManyPasskeys`.
    /// @param passkey The new owner; its credential id and its key must be new to the account.
    function addPasskey(Passkey calldata passkey) external;

    /// @notice Ends a passkey, the first one too, never the last. Only the account may call while it has no guardians, only
    /// the recovery contract while it has.
    /// @dev Reverts with `RemovalNeedsDelay`, `PasskeyUnknown`, `LastPasskey`. A removed passkey can be added again.
    /// @param credIdHash keccak256 of the raw credential id.
    function removePasskey(bytes32 credIdHash) external;

    /// @notice Ends every passkey in constant gas, makes this one the only owner, and ends every session. Only the recovery
    /// contract may call.
    /// @dev Reverts with `PublicKeyInvalid`.
    /// @param passkey The new owner; its credential and key may be one of before.
    function replacePasskeys(Passkey calldata passkey) external;

    /// @notice Withdraws an announced transfer of the account's operator. Only the recovery contract may call.
    /// @dev Reverts as `ISidecarRegistry.cancelTransfer`.
    /// @param registry The SidecarRegistry.
    function cancelTransfer(address registry) external;

    /// @notice Whether this credential signs for the account now.
    /// @param credIdHash keccak256 of the raw credential id.
    /// @return Whether it does; false for an unknown one.
    function isPasskey(bytes32 credIdHash) external view returns (bool);

    /// @notice Every passkey that signs for the account now.
    /// @return At least 1 and at most 16, in no promised order.
    function passkeys() external view returns (Passkey[] memory);

    /// @notice How many passkeys sign for the account now.
    /// @return 1 to 16 (0 only for what is not an account: the implementation, a delegated key never set up).
    function passkeyCount() external view returns (uint256);

    /// @notice The only EntryPoint that the account obeys.
    /// @return Its address, fixed with the implementation.
    function entryPoint() external view returns (address);

    /// @notice The only module that validates operations beside the passkeys: those whose nonce key is its address.
    /// @return Its address, fixed with the implementation; no other can be installed.
    function sessionValidator() external view returns (address);

    /// @notice The contract that may replace the passkeys, where the account configured guardians there.
    /// @return Its address, fixed with the implementation.
    function recovery() external view returns (address);

    /// @notice Whether guardians have started to replace the passkeys and neither finished nor were cancelled. Others that
    /// take orders from the account ask this: while true, nothing may pass it on.
    /// @return False where no recovery contract is deployed.
    function recoveryPending() external view returns (bool);

    /// @notice Executes one call or several; reverts with the first failing call's own data, undoing all.
    /// Only the EntryPoint or the account may call.
    /// @dev The first ten bytes of `mode` choose, the other 22 are free (ERC-7821, ERC-7579):
    /// - `0x01000000000000000000`: ERC-7821 batch, `executionData` = abi.encode(Call[]),
    ///   Call = (address to, uint256 value, bytes data);
    /// - `0x00000000000000000000`: ERC-7579 single call, `executionData` = abi.encodePacked(address to, uint256 value,
    ///   bytes data), cheaper by about 1,500 gas.
    /// In both a `to` of zero means the account itself, as ERC-7821 says. No mode swallows failures, none takes opData.
    /// Reverts with `ExecutionModeUnsupported`, `ExecutionDataInvalid`.
    /// @param mode How to read `executionData`.
    /// @param executionData The calls.
    function execute(bytes32 mode, bytes calldata executionData) external payable;

    /// @notice Whether `execute` knows this mode.
    /// @param mode All 32 bytes; the last 22 do not matter.
    /// @return True for the two modes above.
    function supportsExecutionMode(bytes32 mode) external view returns (bool);
}

/// @title Makes master accounts at addresses that commit to the first passkey
/// @notice The passkey is part of the account's code, so nobody can put another one at its address, and whoever
/// deploys it, and when, changes nothing: `createAccount` is open to everyone and needs no trusted sender.
interface IMasterAccountFactory {
    /// @notice Emitted when an account is deployed.
    /// @param account Its address.
    /// @param credIdHash keccak256 of its first passkey's raw credential id.
    event AccountCreated(address indexed account, bytes32 indexed credIdHash);

    /// @notice Deploys the account, or only returns its address where that was done before. Anyone may call.
    /// @dev Reverts with `IMasterAccount.PublicKeyInvalid`.
    /// @param first The passkey that the address commits to, all four members.
    /// @param salt Distinguishes accounts of one passkey; 0 by custom.
    /// @return account The account's address.
    function createAccount(Passkey calldata first, uint256 salt) external returns (address account);

    /// @notice The address of the account, deployed or not.
    /// @dev Reverts with `IMasterAccount.PublicKeyInvalid`: money sent to such an address would be lost.
    /// @param first The passkey that the address commits to, all four members.
    /// @param salt As in `createAccount`.
    /// @return account The account's address on this chain.
    function getAddress(Passkey calldata first, uint256 salt) external view returns (address account);

    /// @notice The code that every account of this factory runs.
    /// @return A locked `MasterAccount`: it has no passkey and cannot get one.
    function implementation() external view returns (address);
}
