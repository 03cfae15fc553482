// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice One registered device key (K10).
struct Device {
    /// @dev The operator it serves, for ever.
    bytes32 operatorOmni;
    /// @dev The operator's own omni for a MASTER-tier device, the agent's for an AGENT-tier one.
    bytes32 actorOmni;
    /// @dev The secp256k1 address of the key; its keccak256 over 20 bytes is the device key hash.
    address key;
    /// @dev Bitmap CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4.
    uint8 roles;
    /// @dev MASTER 1, AGENT 2; 0 for an unknown hash.
    uint8 tier;
    /// @dev Unix seconds.
    uint64 registeredAt;
    /// @dev Unix seconds, 0 while not revoked one by one (a generation may still have ended it).
    uint64 revokedAt;
    /// @dev The actor's generation (AGENT) or the operator's (MASTER) when it was registered.
    uint64 generation;
    /// @dev Information only, never authority; zero for AGENT tier.
    bytes32 k11CredId;
    /// @dev Information only; zero when there is none.
    bytes32 attestationHash;
}

/// @title Who may mint, for whom
interface ISidecarRegistry {
    function registerOperator() external returns (bytes32 operatorOmni);

    function registerMasterDevice(
        address key,
        uint8 roles,
        bytes32 k11CredId,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash);

    function registerAgentDevice(
        string calldata label,
        address key,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 actorOmni, bytes32 deviceKeyHash);

    function rotateDevice(
        bytes32 oldDeviceKeyHash,
        address newKey,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash);

    function revokeDevice(bytes32 deviceKeyHash) external;

    function revokeActor(bytes32 actorOmni) external;

    function freeze(bytes32 operatorOmni, bytes32 deviceKeyHash, uint256 deadline, bytes calldata sig) external;

    function unfreeze() external;

    function transferOperator(address newMaster) external;

    function acceptOperator(bytes32 operatorOmni) external;

    function cancelTransfer() external;

    function getDevice(bytes32 deviceKeyHash) external view returns (Device memory);

    function isActive(bytes32 deviceKeyHash) external view returns (bool);

    function masterOf(bytes32 operatorOmni) external view returns (address);

    function omniOf(address account) external view returns (bytes32 operatorOmni);

    function operatorOf(bytes32 actorOmni) external view returns (bytes32 operatorOmni);

    function actorGeneration(bytes32 actorOmni) external view returns (uint64);

    function devicesOf(
        bytes32 operatorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (bytes32[] memory deviceKeyHashes, uint256 nextCursor);

    function isFrozen(bytes32 operatorOmni) external view returns (bool);

    function freezeNonce(bytes32 operatorOmni) external view returns (uint64);

    function deviceBindingDigest(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        address deviceKey,
        uint8 roles,
        bytes32 attestationHash,
        uint256 deadline
    ) external view returns (bytes32);

    function freezeDigest(
        bytes32 operatorOmni,
        bytes32 deviceKeyHash,
        uint64 nonce,
        uint256 deadline
    ) external view returns (bytes32);

    function checkPop(
        bytes32 digest,
        bytes calldata sig,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 role
    ) external view returns (bytes32 deviceKeyHash);

    function domainSeparator() external view returns (bytes32);

    function computeOperatorOmni(address account) external pure returns (bytes32);

    function computeActorOmni(bytes32 operatorOmni, string calldata label) external pure returns (bytes32);
}
