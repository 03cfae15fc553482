// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { MerkleProof } from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import { AuditRoot, ICredentialAudit } from "../interfaces/ICredentialAudit.sol";
import { ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";

/// @title What happened
/// @notice Keeps the roots of audit batches and emits single entries.
contract CredentialAudit is ICredentialAudit {
    ISidecarRegistry private immutable _SIDECARS;

    /// @dev operator omni → master that named it → auditor → allowed
    mapping(bytes32 operatorOmni => mapping(address master => mapping(address auditor => bool))) private _auditors;

    /// @dev operator omni → root → what was appended with it
    mapping(bytes32 operatorOmni => mapping(bytes32 root => AuditRoot)) private _roots;

    /// @notice Binds the log to its source of authority, for ever.
    /// @param sidecars The SidecarRegistry; must have code. Reverts {NotAContract}.
    constructor(ISidecarRegistry sidecars) {
        if (address(sidecars).code.length == 0) revert NotAContract(address(sidecars));
        _SIDECARS = sidecars;
    }

    /// @inheritdoc ICredentialAudit
    function setAuditor(address auditor, bool allowed) external {
        bytes32 operatorOmni = _SIDECARS.omniOf(msg.sender);
        if (operatorOmni == 0) revert NotMaster(msg.sender);
        if (auditor == address(0)) revert InvalidAuditor(auditor);
        _auditors[operatorOmni][msg.sender][auditor] = allowed;
        emit AuditorSet(operatorOmni, auditor, allowed);
    }

    /// @inheritdoc ICredentialAudit
    function appendRoot(bytes32 operatorOmni, bytes32 root, uint64 count, uint256 opKindBitmap) external {
        _requireWriter(operatorOmni);
        if (root == 0 || count == 0 || opKindBitmap == 0) revert InvalidRoot(root, count, opKindBitmap);
        AuditRoot storage entry = _roots[operatorOmni][root];
        if (entry.appendedAt != 0) revert RootAlreadyAppended(operatorOmni, root);
        entry.appendedAt = uint64(block.timestamp);
        entry.count = count;
        entry.opKindBitmap = opKindBitmap;
        emit AuditRootAppended(operatorOmni, root, count, opKindBitmap, msg.sender);
    }

    /// @inheritdoc ICredentialAudit
    function append(bytes32 operatorOmni, bytes32 actorOmni, uint8 opKind, bytes32 envelopeHash) external {
        _requireWriter(operatorOmni);
        if (_SIDECARS.operatorOf(actorOmni) != operatorOmni) revert ActorNotOfOperator(actorOmni, operatorOmni);
        emit AuditEntry(operatorOmni, actorOmni, envelopeHash, opKind, msg.sender);
    }

    /// @inheritdoc ICredentialAudit
    function verifyEntry(
        bytes32 operatorOmni,
        bytes32 root,
        bytes32 actorOmni,
        uint8 opKind,
        bytes32 envelopeHash,
        bytes32[] calldata proof
    ) external view returns (bool) {
        AuditRoot storage entry = _roots[operatorOmni][root];
        if (entry.appendedAt == 0 || (entry.opKindBitmap >> opKind) & 1 == 0) return false;
        // Hashed twice, so that an inner node of the tree can never be read as a leaf.
        bytes32 inner = keccak256(abi.encode(operatorOmni, actorOmni, opKind, envelopeHash));
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(inner)));
    }

    /// @inheritdoc ICredentialAudit
    function rootOf(bytes32 operatorOmni, bytes32 root) external view returns (AuditRoot memory) {
        return _roots[operatorOmni][root];
    }

    /// @inheritdoc ICredentialAudit
    function mayAppend(bytes32 operatorOmni, address account) public view returns (bool) {
        address master = _SIDECARS.masterOf(operatorOmni);
        return master != address(0) && (account == master || _auditors[operatorOmni][master][account]);
    }

    /// @inheritdoc ICredentialAudit
    function sidecarRegistry() external view returns (address) {
        return address(_SIDECARS);
    }

    function _requireWriter(bytes32 operatorOmni) private view {
        if (!mayAppend(operatorOmni, msg.sender)) revert NotAuditor(msg.sender, operatorOmni);
    }
}
