// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IK3EpochCounter } from "../interfaces/IK3EpochCounter.sol";
import { AccessFacts, GrantInput, GrantView, IScopeRegistry } from "../interfaces/IScopeRegistry.sol";
import { GranteeFacts, ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";

/// @title For what, and until when
/// @notice The grants of every agent, and the one call that answers an access decision.
/// @dev A grant is two words: its record under the scope key, and its service hash in the list of its class (class and
/// service give the scope key again). Ending all of them costs one word: a record of another era than its book's counts
/// for nothing.
contract ScopeRegistry is IScopeRegistry {
    /// @dev One word.
    struct Grant {
        /// @dev The book's era when it was written.
        uint64 era;
        /// @dev Unix seconds; 0 when there is none.
        uint40 validUntil;
        uint8 ops;
        uint8 dataClass;
        /// @dev Where its service stands in the list of its class.
        uint32 position;
    }

    /// @dev The first word of a {Book}.
    struct Head {
        /// @dev The agent's generation that the era is of; in any other generation the book is empty.
        uint64 actorGeneration;
        /// @dev Raised when all grants end at once.
        uint64 era;
        /// @dev Lengths of the lists, 32 bits for each class, class 1 lowest.
        uint96 counts;
    }

    /// @dev The grants of one agent.
    struct Book {
        Head head;
        /// @dev scope key → grant
        mapping(bytes32 scopeKey => Grant) grants;
        /// @dev data class → position → service hash; what stands at or beyond the length means nothing
        mapping(uint256 dataClass => mapping(uint256 position => bytes32 serviceHash)) services;
    }

    uint8 private constant CLASSES = 3;
    uint8 private constant ALL_OPS = 15;
    uint8 private constant CAP_MINT = 1;
    uint8 private constant BINDING_SELF = 1;
    uint256 private constant NO_END = 2 ** 40 - 1;
    uint256 private constant FACTS_VERSION = 1;

    ISidecarRegistry private immutable _SIDECARS;
    IK3EpochCounter private immutable _EPOCHS;

    /// @dev operator omni → actor omni → grants
    mapping(bytes32 operatorOmni => mapping(bytes32 actorOmni => Book)) private _books;

    /// @notice Binds the registry to its two sources of facts, for ever.
    /// @param sidecars The SidecarRegistry; must have code. Reverts {NotAContract}.
    /// @param epochs The K3EpochCounter; must have code. Reverts {NotAContract}.
    constructor(ISidecarRegistry sidecars, IK3EpochCounter epochs) {
        if (address(sidecars).code.length == 0) revert NotAContract(address(sidecars));
        if (address(epochs).code.length == 0) revert NotAContract(address(epochs));
        _SIDECARS = sidecars;
        _EPOCHS = epochs;
    }

    /// @inheritdoc IScopeRegistry
    function setGrants(bytes32 actorOmni, GrantInput[] calldata grants) external {
        GranteeFacts memory facts = _requireGrantor(actorOmni);
        if (!facts.operatorNotFrozen) revert OperatorIsFrozen(facts.operatorOmni);
        if (!facts.actorLive) revert ActorNotLive(actorOmni);
        Book storage book = _books[facts.operatorOmni][actorOmni];
        Head memory head = book.head;
        if (head.actorGeneration != facts.actorGeneration) _startEra(head, facts.actorGeneration);
        for (uint256 i = 0; i < grants.length; ++i) _setGrant(book, head, facts.operatorOmni, actorOmni, grants[i]);
        book.head = head;
    }

    /// @inheritdoc IScopeRegistry
    function revokeGrants(bytes32 actorOmni, bytes32[] calldata scopeKeys) external {
        GranteeFacts memory facts = _requireGrantor(actorOmni);
        Book storage book = _books[facts.operatorOmni][actorOmni];
        Head memory head = book.head;
        bool current = head.actorGeneration == facts.actorGeneration;
        for (uint256 i = 0; i < scopeKeys.length; ++i) {
            bytes32 scopeKey = scopeKeys[i];
            if (!current || !_isLive(book.grants[scopeKey], head)) revert GrantUnknown(actorOmni, scopeKey);
            _removeGrant(book, head, scopeKey);
            emit GrantRevoked(facts.operatorOmni, actorOmni, scopeKey);
        }
        book.head = head;
    }

    /// @inheritdoc IScopeRegistry
    function revokeAll(bytes32 actorOmni) external {
        GranteeFacts memory facts = _requireGrantor(actorOmni);
        Book storage book = _books[facts.operatorOmni][actorOmni];
        Head memory head = book.head;
        _startEra(head, facts.actorGeneration);
        book.head = head;
        emit AllGrantsRevoked(facts.operatorOmni, actorOmni);
    }

    /// @inheritdoc IScopeRegistry
    function isServiceInScope(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash,
        uint8 op
    ) external view returns (bool) {
        (uint8 ops, uint64 validUntil) = _grantOf(
            _books[operatorOmni][actorOmni],
            _SIDECARS.actorGeneration(actorOmni),
            dataClass,
            serviceHash
        );
        return op != 0 && ops & op == op && block.timestamp < validUntil;
    }

    /// @inheritdoc IScopeRegistry
    function grantsOf(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (GrantView[] memory grants, uint256 nextCursor) {
        Book storage book = _books[operatorOmni][actorOmni];
        uint256 counts = book.head.counts;
        if (book.head.actorGeneration != _SIDECARS.actorGeneration(actorOmni)) counts = 0;
        uint256 total = _countOf(counts, 1) + _countOf(counts, 2) + _countOf(counts, 3);
        uint256 left = cursor < total ? total - cursor : 0;
        if (size > left) size = left;
        grants = new GrantView[](size);
        for (uint256 i = 0; i < size; ++i) grants[i] = _grantAt(book, counts, cursor + i);
        nextCursor = cursor + size;
    }

    /// @inheritdoc IScopeRegistry
    function checkAccess(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 dataClass,
        bytes32 serviceHash
    ) external view returns (AccessFacts memory facts) {
        (bool active, bool notFrozen, uint8 roles, uint8 binding, uint64 generation) = _SIDECARS.deviceFacts(
            deviceKeyHash,
            operatorOmni,
            actorOmni
        );
        facts.version = FACTS_VERSION;
        facts.deviceRegistered = roles != 0;
        facts.deviceNotRevoked = active;
        facts.operatorNotFrozen = notFrozen;
        facts.deviceMayMint = roles & CAP_MINT != 0;
        if (binding != 0) {
            facts.binding = binding;
            facts.isOperatorSelf = binding == BINDING_SELF && actorOmni == operatorOmni;
            Book storage book = _books[operatorOmni][actorOmni];
            (facts.grantOps, facts.grantValidUntil) = _grantOf(book, generation, dataClass, serviceHash);
        }
        facts.k3Epoch = _EPOCHS.currentEpoch();
        facts.blockTime = uint64(block.timestamp);
        facts.chainId = block.chainid;
    }

    /// @inheritdoc IScopeRegistry
    function scopeKeyOf(uint8 dataClass, bytes32 serviceHash) external pure returns (bytes32) {
        _requireClass(dataClass);
        return _scopeKeyOf(dataClass, serviceHash);
    }

    /// @inheritdoc IScopeRegistry
    function sidecarRegistry() external view returns (address) {
        return address(_SIDECARS);
    }

    /// @inheritdoc IScopeRegistry
    function epochCounter() external view returns (address) {
        return address(_EPOCHS);
    }

    function _setGrant(
        Book storage book,
        Head memory head,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        GrantInput calldata input
    ) private {
        (uint8 dataClass, bytes32 serviceHash, uint8 ops) = (input.dataClass, input.serviceHash, input.ops);
        uint64 validUntil = input.validUntil;
        _requireClass(dataClass);
        if (ops == 0 || ops > ALL_OPS) revert InvalidOps(ops);
        if (validUntil <= block.timestamp || validUntil > NO_END) revert InvalidValidUntil(validUntil, block.timestamp);
        bytes32 scopeKey = _scopeKeyOf(dataClass, serviceHash);
        Grant memory grant = book.grants[scopeKey];
        if (!_isLive(grant, head)) {
            uint256 position = _countOf(head.counts, dataClass);
            head.counts += uint96(1 << _laneOf(dataClass));
            book.services[dataClass][position] = serviceHash;
            grant.era = head.era;
            grant.dataClass = dataClass;
            grant.position = uint32(position);
        }
        grant.validUntil = uint40(validUntil);
        grant.ops = ops;
        book.grants[scopeKey] = grant;
        emit GrantSet(operatorOmni, actorOmni, scopeKey, dataClass, serviceHash, ops, validUntil);
    }

    /// @dev Takes a live grant out; the last of its class moves into the gap.
    function _removeGrant(Book storage book, Head memory head, bytes32 scopeKey) private {
        (uint8 dataClass, uint32 position) = (book.grants[scopeKey].dataClass, book.grants[scopeKey].position);
        uint256 last = _countOf(head.counts, dataClass) - 1;
        if (position != last) {
            bytes32 moved = book.services[dataClass][last];
            book.services[dataClass][position] = moved;
            book.grants[_scopeKeyOf(dataClass, moved)].position = position;
        }
        delete book.grants[scopeKey];
        head.counts -= uint96(1 << _laneOf(dataClass));
    }

    /// @dev Bitmap and end of a grant of this generation; zeros when there is none.
    function _grantOf(
        Book storage book,
        uint64 generation,
        uint8 dataClass,
        bytes32 serviceHash
    ) private view returns (uint8 ops, uint64 validUntil) {
        Grant storage grant = book.grants[_scopeKeyOf(dataClass, serviceHash)];
        // A grant that was never written has the end 0 and no operations, whatever its era.
        if (book.head.actorGeneration == generation && book.head.era == grant.era) return (grant.ops, grant.validUntil);
    }

    /// @dev The grant at a position of the listing: all of class 1, then 2, then 3.
    function _grantAt(Book storage book, uint256 counts, uint256 position) private view returns (GrantView memory) {
        uint8 dataClass = 1;
        for (uint256 count = _countOf(counts, 1); position >= count; count = _countOf(counts, dataClass)) {
            position -= count;
            ++dataClass;
        }
        bytes32 serviceHash = book.services[dataClass][position];
        bytes32 scopeKey = _scopeKeyOf(dataClass, serviceHash);
        Grant memory grant = book.grants[scopeKey];
        return
            GrantView({
                scopeKey: scopeKey,
                dataClass: dataClass,
                serviceHash: serviceHash,
                ops: grant.ops,
                validUntil: grant.validUntil
            });
    }

    /// @dev The caller is master of the operator that the agent belongs to.
    function _requireGrantor(bytes32 actorOmni) private view returns (GranteeFacts memory facts) {
        facts = _SIDECARS.granteeFacts(msg.sender, actorOmni);
        if (facts.operatorOmni == 0) revert NotMaster(msg.sender);
        if (!facts.actorOwned) revert ActorNotOfOperator(actorOmni, facts.operatorOmni);
    }

    function _startEra(Head memory head, uint64 actorGeneration) private pure {
        head.actorGeneration = actorGeneration;
        ++head.era;
        head.counts = 0;
    }

    function _isLive(Grant memory grant, Head memory head) private pure returns (bool) {
        return grant.validUntil != 0 && grant.era == head.era;
    }

    function _requireClass(uint8 dataClass) private pure {
        if (dataClass == 0 || dataClass > CLASSES) revert InvalidDataClass(dataClass);
    }

    function _scopeKeyOf(uint256 dataClass, bytes32 serviceHash) private pure returns (bytes32) {
        return keccak256(abi.encode(dataClass, serviceHash));
    }

    function _countOf(uint256 counts, uint256 dataClass) private pure returns (uint256) {
        return uint32(counts >> _laneOf(dataClass));
    }

    function _laneOf(uint256 dataClass) private pure returns (uint256) {
        return 32 * (dataClass - 1);
    }
}
