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
interface IMasterAccount {
    function addPasskey(Passkey calldata passkey) external;

    function removePasskey(bytes32 credIdHash) external;

    function isPasskey(bytes32 credIdHash) external view returns (bool);

    function passkeys() external view returns (Passkey[] memory);

    function passkeyCount() external view returns (uint256);

    function entryPoint() external view returns (address);

    /// @dev ERC-7821: mode 0x0100…00 (batch, revert on failure), `executionData` = abi.encode(Call[]),
    /// Call = (address to, uint256 value, bytes data).
    function execute(bytes32 mode, bytes calldata executionData) external payable;
}

/// @title Makes master accounts at addresses that commit to the first passkey
interface IMasterAccountFactory {
    event AccountCreated(address indexed account, bytes32 indexed credIdHash);

    function createAccount(Passkey calldata first, uint256 salt) external returns (address account);

    function getAddress(Passkey calldata first, uint256 salt) external view returns (address account);

    function implementation() external view returns (address);
}
