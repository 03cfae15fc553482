// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice What a decision needs to know about one request, read at one block.
/// @dev A version word, then positive facts only: an answer of zeros refuses everything. `binding` and `grantOps`
/// are meaningful only beside the facts before them. One ABI word per field, in this order, for ever; a later
/// version appends.
struct AccessFacts {
    /// @dev 1 for this layout.
    uint256 version;
    /// @dev The hash was registered at some time.
    bool deviceRegistered;
    /// @dev Not revoked, and its generation is still its actor's and its operator's.
    bool deviceNotRevoked;
    /// @dev The operator that the device itself belongs to is not frozen.
    bool operatorNotFrozen;
    /// @dev The device has the role CAP_MINT.
    bool deviceMayMint;
    /// @dev 0 none, 1 self (device's operator and actor are those asked for), 2 parent (MASTER-tier device of the
    /// operator that owns the live actor, and the actor is not the operator itself).
    uint8 binding;
    /// @dev `binding` is 1 and the device's own actor is the operator: no grant is asked for.
    bool isOperatorSelf;
    /// @dev Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8 of the grant of this generation; 0 when there is none.
    uint8 grantOps;
    /// @dev Unix seconds; the grant covers times strictly before it; 0 when there is none.
    uint64 grantValidUntil;
    /// @dev K3EpochCounter.currentEpoch(), from 1.
    uint64 k3Epoch;
    /// @dev block.timestamp, Unix seconds.
    uint64 blockTime;
    /// @dev block.chainid.
    uint256 chainId;
}

/// @notice One grant as the operator writes it.
struct GrantInput {
    /// @dev 1 credentials, 2 memory, 3 config.
    uint8 dataClass;
    /// @dev keccak256 of the ASCII bytes of the service.
    bytes32 serviceHash;
    /// @dev Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8, not zero.
    uint8 ops;
    /// @dev Unix seconds, in the future; 2**40 - 1 for no end.
    uint64 validUntil;
}

/// @notice One live grant as a listing names it.
struct GrantView {
    bytes32 scopeKey;
    uint8 dataClass;
    bytes32 serviceHash;
    uint8 ops;
    uint64 validUntil;
}

/// @title For what, and until when
interface IScopeRegistry {
    function setGrants(bytes32 actorOmni, GrantInput[] calldata grants) external;

    function revokeGrants(bytes32 actorOmni, bytes32[] calldata scopeKeys) external;

    function revokeAll(bytes32 actorOmni) external;

    function isServiceInScope(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash,
        uint8 op
    ) external view returns (bool);

    function grantsOf(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (GrantView[] memory grants, uint256 nextCursor);

    function checkAccess(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash
    ) external view returns (AccessFacts memory);

    function scopeKeyOf(uint8 dataClass, bytes32 serviceHash) external pure returns (bytes32);

    /// @notice The SidecarRegistry whose devices and actors these grants are about.
    function sidecarRegistry() external view returns (address);

    /// @notice The K3EpochCounter whose epoch `checkAccess` reports.
    function epochCounter() external view returns (address);
}
