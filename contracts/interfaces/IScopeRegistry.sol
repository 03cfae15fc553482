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
    /// @dev Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8 of the grant of this generation; 0 when there is none, or
    /// no binding.
    uint8 grantOps;
    /// @dev Unix seconds; the grant covers times strictly before it; 0 when there is none, or no binding.
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
    /// @dev {IScopeRegistry-scopeKeyOf} of the class and service.
    bytes32 scopeKey;
    /// @dev 1 credentials, 2 memory, 3 config.
    uint8 dataClass;
    /// @dev keccak256 of the ASCII bytes of the service.
    bytes32 serviceHash;
    /// @dev Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8.
    uint8 ops;
    /// @dev Unix seconds; the grant covers times strictly before it, which may have passed; 2**40 - 1 for no end.
    uint64 validUntil;
}

/// @title For what, and until when
/// @notice Which services an agent may use, per data class and operation, as its operator granted.
/// @dev A grant belongs to one generation of its agent: after {ISidecarRegistry-revokeActor} none is left, also when the
/// agent is registered again. It stays when the operator is transferred. There is no owner and no administrator: an
/// operator's grants are written by its master in the SidecarRegistry, and by nobody else. All times are Unix seconds.
interface IScopeRegistry {
    // ------------------------------------------------------------------------------------------------------- events

    /// @notice Emitted for every grant that is written, new or replacing one with the same scope key.
    event GrantSet(
        bytes32 indexed operatorOmni,
        bytes32 indexed actorOmni,
        bytes32 indexed scopeKey,
        uint8 dataClass,
        bytes32 serviceHash,
        uint8 ops,
        uint64 validUntil
    );

    /// @notice Emitted for every grant that {revokeGrants} ends.
    event GrantRevoked(bytes32 indexed operatorOmni, bytes32 indexed actorOmni, bytes32 indexed scopeKey);

    /// @notice Emitted when {revokeAll} ends every grant of an agent.
    event AllGrantsRevoked(bytes32 indexed operatorOmni, bytes32 indexed actorOmni);

    // ------------------------------------------------------------------------------------------------------- errors

    /// @notice Thrown at deployment when an address has no code.
    error NotAContract(address target);

    /// @notice Thrown when the caller is not the master of any operator.
    error NotMaster(address caller);

    /// @notice Thrown when the operator is frozen and the call would add authority.
    error OperatorIsFrozen(bytes32 operatorOmni);

    /// @notice Thrown when the omni is not that of an agent of the caller's operator.
    error ActorNotOfOperator(bytes32 actorOmni, bytes32 operatorOmni);

    /// @notice Thrown when the agent has not been registered again since it was revoked.
    error ActorNotLive(bytes32 actorOmni);

    /// @notice Thrown when a data class is not 1, 2 or 3.
    error InvalidDataClass(uint8 dataClass);

    /// @notice Thrown when an operation bitmap is zero or has a bit above CLASSIFY.
    error InvalidOps(uint8 ops);

    /// @notice Thrown when a grant would end now or before, or after 2**40 - 1.
    error InvalidValidUntil(uint64 validUntil, uint256 blockTime);

    /// @notice Thrown when there is no grant of the agent's current generation under a scope key.
    error GrantUnknown(bytes32 actorOmni, bytes32 scopeKey);

    // ------------------------------------------------------------------------------------------------------ changes

    /// @notice Writes grants of an agent; one with the same class and service is replaced.
    /// @dev The master of the agent's operator only. All or nothing. Reverts {NotMaster}, {ActorNotOfOperator} (also for the
    /// operator's own omni, which needs no grant), {OperatorIsFrozen}, {ActorNotLive}, {InvalidDataClass}, {InvalidOps},
    /// {InvalidValidUntil}.
    function setGrants(bytes32 actorOmni, GrantInput[] calldata grants) external;

    /// @notice Ends some grants of an agent.
    /// @dev The master of the agent's operator only, also while frozen. All or nothing, so that a mistyped key is noticed.
    /// Reverts {NotMaster}, {ActorNotOfOperator}, {GrantUnknown}.
    function revokeGrants(bytes32 actorOmni, bytes32[] calldata scopeKeys) external;

    /// @notice Ends every grant of an agent at once, in constant gas; its devices stay.
    /// @dev The master of the agent's operator only, also while frozen. Reverts {NotMaster}, {ActorNotOfOperator}.
    function revokeAll(bytes32 actorOmni) external;

    // -------------------------------------------------------------------------------------------------------- views

    /// @notice True when a grant covers every operation of a bitmap at this block's time.
    /// @dev About the grant alone: devices, their roles and a freeze are {checkAccess}'s. Never reverts; false for unknown
    /// ids, for an `op` of zero, and at the very second of `validUntil`.
    /// @param operatorOmni The operator asked for.
    /// @param actorOmni The agent asked for.
    /// @param dataClass 1 credentials, 2 memory, 3 config.
    /// @param serviceHash keccak256 of the ASCII bytes of the service.
    /// @param op Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8.
    function isServiceInScope(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash,
        uint8 op
    ) external view returns (bool);

    /// @notice The grants of an agent's current generation, by class, expired ones included until they are revoked.
    /// @dev Read all pages at one block: a revocation between two pages moves the last grant of its class into the gap.
    /// @param operatorOmni The operator that granted.
    /// @param actorOmni The agent.
    /// @param cursor Position to start at, 0 for the first.
    /// @param size At most so many.
    /// @return grants Shorter than `size` exactly when the end is reached.
    /// @return nextCursor `cursor` plus the number returned.
    function grantsOf(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (GrantView[] memory grants, uint256 nextCursor);

    /// @notice Every fact that an access decision needs, at one block.
    /// @dev Never reverts; unknown ids, classes and services give zeros in the facts about them. Cost does not grow with
    /// devices, agents or grants.
    /// @param deviceKeyHash The device that signed.
    /// @param operatorOmni The operator that its request names.
    /// @param actorOmni The actor that its request names.
    /// @param dataClass 1 credentials, 2 memory, 3 config.
    /// @param serviceHash keccak256 of the ASCII bytes of the service.
    function checkAccess(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash
    ) external view returns (AccessFacts memory);

    /// @notice keccak256(abi.encode(uint8 dataClass, bytes32 serviceHash)). Reverts {InvalidDataClass}.
    function scopeKeyOf(uint8 dataClass, bytes32 serviceHash) external pure returns (bytes32);

    /// @notice The SidecarRegistry whose devices and actors these grants are about.
    function sidecarRegistry() external view returns (address);

    /// @notice The K3EpochCounter whose epoch `checkAccess` reports.
    function epochCounter() external view returns (address);
}
