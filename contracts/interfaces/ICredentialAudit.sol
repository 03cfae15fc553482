// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice What was appended with one Merkle root.
struct AuditRoot {
    /// @dev Unix seconds of the block; 0 for an unknown root.
    uint64 appendedAt;
    /// @dev Number of leaves that the writer claims, not zero.
    uint64 count;
    /// @dev Bit k is set when the batch holds an entry of kind k; the writer's claim, checked by {verifyEntry}.
    uint256 opKindBitmap;
}

/// @title What happened
/// @notice An append-only log per operator: single entries, and Merkle roots over many.
/// @dev Written only by the operator's master in the SidecarRegistry and by auditors that this master named; after a
/// transfer the new master names its own. Roots are those of OpenZeppelin's StandardMerkleTree (merkle-tree) with leaves
/// `["bytes32", "bytes32", "uint8", "bytes32"]` = (operatorOmni, actorOmni, opKind, envelopeHash).
interface ICredentialAudit {
    /// @notice Emitted for one entry.
    event AuditEntry(
        bytes32 indexed operatorOmni,
        bytes32 indexed actorOmni,
        bytes32 indexed envelopeHash,
        uint8 opKind,
        address writer
    );

    /// @notice Emitted for one root.
    event AuditRootAppended(
        bytes32 indexed operatorOmni,
        bytes32 indexed root,
        uint64 count,
        uint256 opKindBitmap,
        address writer
    );

    /// @notice Emitted when a master names or dismisses an auditor.
    event AuditorSet(bytes32 indexed operatorOmni, address indexed auditor, bool allowed);

    /// @notice Thrown at deployment when an address has no code.
    error NotAContract(address target);

    /// @notice Thrown when the caller is not the master of any operator.
    error NotMaster(address caller);

    /// @notice Thrown when the caller may not write this operator's log.
    error NotAuditor(address caller, bytes32 operatorOmni);

    /// @notice Thrown when an auditor is the zero address.
    error InvalidAuditor(address auditor);

    /// @notice Thrown when an entry is about an actor that does not belong to the operator.
    error ActorNotOfOperator(bytes32 actorOmni, bytes32 operatorOmni);

    /// @notice Thrown when a root is zero, or a batch claims no entries or no kinds.
    error InvalidRoot(bytes32 root, uint64 count, uint256 opKindBitmap);

    /// @notice Thrown when the operator's log has this root already.
    error RootAlreadyAppended(bytes32 operatorOmni, bytes32 root);

    /// @notice Names or dismisses an account that may write the log of the caller's operator.
    /// @dev Master only. Reverts {NotMaster}, {InvalidAuditor}.
    function setAuditor(address auditor, bool allowed) external;

    /// @notice Appends the root of a batch of entries.
    /// @dev The operator's master or an auditor it named. Reverts {NotAuditor}, {InvalidRoot}, {RootAlreadyAppended}.
    /// @param operatorOmni Whose log.
    /// @param root Of the StandardMerkleTree over the entries.
    /// @param count Number of entries, not zero.
    /// @param opKindBitmap Bit k for every kind k that occurs, not zero.
    function appendRoot(bytes32 operatorOmni, bytes32 root, uint64 count, uint256 opKindBitmap) external;

    /// @notice Appends one entry, as an event.
    /// @dev The operator's master or an auditor it named. Reverts {NotAuditor}, {ActorNotOfOperator}.
    /// @param operatorOmni Whose log.
    /// @param actorOmni The operator itself or one of its agents, live or not.
    /// @param opKind Kind of operation.
    /// @param envelopeHash SHA-256 of the audit envelope.
    function append(bytes32 operatorOmni, bytes32 actorOmni, uint8 opKind, bytes32 envelopeHash) external;

    /// @notice True when an entry is a leaf under a root that this operator's log holds, of a kind that the root names.
    /// @dev Never reverts.
    /// @param proof Sibling hashes from the leaf up, as `StandardMerkleTree.getProof` gives them.
    function verifyEntry(
        bytes32 operatorOmni,
        bytes32 root,
        bytes32 actorOmni,
        uint8 opKind,
        bytes32 envelopeHash,
        bytes32[] calldata proof
    ) external view returns (bool);

    /// @notice What was appended with a root; zeros when the operator's log does not hold it.
    function rootOf(bytes32 operatorOmni, bytes32 root) external view returns (AuditRoot memory);

    /// @notice True for the operator's master and for the auditors it named.
    function mayAppend(bytes32 operatorOmni, address account) external view returns (bool);

    /// @notice The SidecarRegistry whose operators these logs belong to.
    function sidecarRegistry() external view returns (address);
}
