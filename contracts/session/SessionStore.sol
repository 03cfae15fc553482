// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { EIP712 } from "solady/src/utils/EIP712.sol";
import { SignatureCheckerLib } from "solady/src/utils/SignatureCheckerLib.sol";

import { IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import {
    ISessionKeyValidator,
    Predicate,
    Rule,
    RuleState,
    Session,
    SessionHead,
    SessionSpent,
    SessionSponsor,
    TokenLimit,
    TokenState
} from "../interfaces/ISessionKeyValidator.sol";
import { SessionHash } from "../libraries/SessionHash.sol";
import { TokenSpend } from "../libraries/TokenSpend.sol";

/// @title Sessions as they are granted, listed and revoked
/// @notice Writes what `SessionKeyValidator` reads.
/// @dev Every mapping has the account innermost, so that all that validation touches is storage associated with it
/// (ERC-7562 [STO-021]). Nothing is ever cleared: a serial number within the words, or within their keys, tells those of
/// the latest grant from older ones.
abstract contract SessionStore is ISessionKeyValidator, EIP712 {
    /// @dev Predicates in two kinds of words: one with all places and comparisons, 16 bits each, then the values.
    struct StoredRule {
        RuleState state;
        uint256 places;
        bytes32[16] values;
    }

    uint256 internal constant MAX_PREDICATES = 16;
    uint256 private constant MAX_SESSIONS = 50;
    uint256 private constant MAX_DURATION = 7 days;
    uint256 private constant MIN_WINDOW = 60;

    /// @inheritdoc ISessionKeyValidator
    address public immutable recovery;

    address private immutable _entryPoint;
    address private immutable _own0;
    address private immutable _own1;
    address private immutable _own2;
    address private immutable _own3;
    address private immutable _own4;
    address private immutable _own5;

    mapping(address key => mapping(address account => SessionHead)) internal _heads;
    mapping(address key => mapping(address account => SessionSpent)) internal _spent;
    mapping(address key => mapping(address account => SessionSponsor)) internal _sponsors;
    mapping(bytes32 ruleId => mapping(address account => StoredRule)) internal _rules;
    mapping(bytes32 tokenId => mapping(address account => TokenState)) internal _tokens;
    mapping(address account => uint32) internal _generations;

    /// @dev key(160) ‖ first 96 bits of the actor's omni; stale unless the key's head is live and names this slot.
    mapping(uint256 slot => mapping(address account => uint256)) private _list;

    /// @dev nonce >> 8 → account → one bit for each of 256 nonces.
    mapping(uint256 word => mapping(address account => uint256)) private _nonces;

    /// @param entryPoint The EntryPoint of the accounts.
    /// @param recovery_ The accounts' recovery contract.
    /// @param ownContracts At most six others that no key may call.
    constructor(address entryPoint, address recovery_, address[] memory ownContracts) {
        if (ownContracts.length > 6) revert TooManySessions(6);
        address[6] memory own;
        for (uint256 i = 0; i < ownContracts.length; ++i) own[i] = ownContracts[i];
        (_own0, _own1, _own2, _own3, _own4, _own5) = (own[0], own[1], own[2], own[3], own[4], own[5]);
        _entryPoint = entryPoint;
        recovery = recovery_;
    }

    /// @inheritdoc ISessionKeyValidator
    function grant(Session calldata session) external {
        _grant(msg.sender, session);
    }

    /// @inheritdoc ISessionKeyValidator
    function grantBySignature(
        address account,
        Session calldata session,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        _useNonce(account, nonce);
        bytes32 digest = grantDigest(account, session, nonce, deadline);
        if (!SignatureCheckerLib.isValidERC1271SignatureNowCalldata(account, digest, signature)) {
            revert SignatureNotAccepted(account);
        }
        _grant(account, session);
    }

    /// @inheritdoc ISessionKeyValidator
    function cancelNonce(uint256 nonce) external {
        _useNonce(msg.sender, nonce);
    }

    /// @inheritdoc ISessionKeyValidator
    function revoke(address key) external {
        SessionHead memory head = _heads[key][msg.sender];
        if (!_isLive(head, msg.sender)) revert SessionNotLive(msg.sender, key);
        _end(key);
    }

    /// @inheritdoc ISessionKeyValidator
    function revokeActor(bytes32 actorOmni) external {
        for (uint256 slot = 0; slot < MAX_SESSIONS; ++slot) {
            uint256 entry = _list[slot][msg.sender];
            if (uint96(entry) != _tag(actorOmni)) continue;
            if (_isListed(entry, slot, msg.sender)) _end(address(uint160(entry >> 96)));
        }
    }

    /// @inheritdoc ISessionKeyValidator
    function revokeAll() external {
        emit AllSessionsRevoked(msg.sender, ++_generations[msg.sender]);
    }

    /// @inheritdoc ISessionKeyValidator
    function sessionsOf(address account) external view returns (address[] memory keys) {
        keys = new address[](MAX_SESSIONS);
        uint256 count;
        for (uint256 slot = 0; slot < MAX_SESSIONS; ++slot) {
            uint256 entry = _list[slot][account];
            if (_isListed(entry, slot, account)) keys[count++] = address(uint160(entry >> 96));
        }
        assembly ("memory-safe") {
            mstore(keys, count)
        }
    }

    /// @inheritdoc ISessionKeyValidator
    function sessionOf(
        address account,
        address key
    )
        external
        view
        returns (bool isLive, SessionHead memory head, SessionSpent memory spent, SessionSponsor memory sponsor)
    {
        head = _heads[key][account];
        isLive = _isLive(head, account);
        spent = _spentOf(account, key, head.serial);
        sponsor = _sponsorOf(account, key, head.serial);
    }

    /// @inheritdoc ISessionKeyValidator
    function ruleOf(
        address account,
        address key,
        address target,
        bytes4 selector
    ) external view returns (RuleState memory) {
        return _rule(account, key, _heads[key][account].serial, target, selector).state;
    }

    /// @inheritdoc ISessionKeyValidator
    function tokenOf(address account, address key, address token) external view returns (TokenState memory) {
        return _token(account, key, _heads[key][account].serial, token);
    }

    /// @inheritdoc ISessionKeyValidator
    function generationOf(address account) external view returns (uint32) {
        return _generations[account];
    }

    /// @inheritdoc ISessionKeyValidator
    function isNonceUsed(address account, uint256 nonce) external view returns (bool) {
        return (_nonces[nonce >> 8][account] >> (nonce & 0xff)) & 1 == 1;
    }

    /// @inheritdoc ISessionKeyValidator
    function grantDigest(
        address account,
        Session calldata session,
        uint256 nonce,
        uint256 deadline
    ) public view returns (bytes32) {
        return _hashTypedData(SessionHash.ofGrant(account, _generations[account], nonce, deadline, session));
    }

    /// @inheritdoc ISessionKeyValidator
    function isTargetRefused(address account, address target) public view returns (bool) {
        return
            target == address(0) ||
            target == account ||
            target == address(this) ||
            target == _entryPoint ||
            target == recovery ||
            target == _own0 ||
            target == _own1 ||
            target == _own2 ||
            target == _own3 ||
            target == _own4 ||
            target == _own5;
    }

    // What validation reads.

    function _spentOf(address account, address key, uint32 serial) internal view returns (SessionSpent memory spent) {
        spent = _spent[key][account];
        if (spent.serial != serial) spent = SessionSpent(serial, 0, 0, 0, 0);
    }

    function _sponsorOf(
        address account,
        address key,
        uint32 serial
    ) internal view returns (SessionSponsor memory sponsor) {
        sponsor = _sponsors[key][account];
        if (sponsor.serial != serial) sponsor = SessionSponsor(serial, address(0), 0);
    }

    function _rule(
        address account,
        address key,
        uint32 serial,
        address target,
        bytes4 selector
    ) internal view returns (StoredRule storage) {
        return _rules[keccak256(abi.encode(key, serial, target, selector))][account];
    }

    function _token(
        address account,
        address key,
        uint32 serial,
        address token
    ) internal view returns (TokenState storage) {
        return _tokens[keccak256(abi.encode(key, serial, token))][account];
    }

    // Granting.

    function _grant(address account, Session calldata session) private {
        if (IAccountRecovery(recovery).isPending(account)) revert RecoveryPending(account);
        address key = session.key;
        if (key == address(0) || key == account) revert KeyNotAllowed(key);
        _requireTimes(session.validAfter, session.validUntil);
        if (session.windowSeconds < MIN_WINDOW || session.windowSeconds > MAX_DURATION || session.callsPerWindow == 0)
            revert RateInvalid(session.windowSeconds, session.callsPerWindow);

        uint32 serial = _heads[key][account].serial + 1;
        _heads[key][account] = SessionHead({
            validUntil: session.validUntil,
            validAfter: session.validAfter,
            generation: _generations[account],
            serial: serial,
            slot: _takeSlot(account, key, session.actorOmni),
            windowSeconds: session.windowSeconds,
            callsPerWindow: session.callsPerWindow,
            gasPerOperationGwei: session.gasPerOperationGwei,
            gasTotalGwei: session.gasTotalGwei
        });
        if (session.paymaster != address(0)) {
            _sponsors[key][account] = SessionSponsor(serial, session.paymaster, session.paymasterTotalGwei);
        }
        for (uint256 i = 0; i < session.rules.length; ++i) _addRule(account, key, serial, session.rules[i]);
        for (uint256 i = 0; i < session.tokenLimits.length; ++i) {
            TokenLimit calldata limit = session.tokenLimits[i];
            TokenState storage state = _token(account, key, serial, limit.token);
            if (limit.total == 0 || state.total != 0) revert TokenLimitInvalid(limit.token, limit.total);
            state.total = limit.total;
        }
        emit SessionGranted(account, key, session.actorOmni, session);
    }

    function _addRule(address account, address key, uint32 serial, Rule calldata rule) private {
        (address target, bytes4 selector) = (rule.target, rule.selector);
        if (isTargetRefused(account, target) || TokenSpend.isUncountable(selector)) {
            revert TargetNotAllowed(target, selector);
        }
        StoredRule storage stored = _rule(account, key, serial, target, selector);
        if (stored.state.isGranted) revert RuleRepeated(target, selector);
        uint256 count = rule.predicates.length;
        if (count > MAX_PREDICATES || (count != 0 && selector == 0)) revert PredicatesInvalid(target, selector);
        stored.state = RuleState(true, uint8(count), rule.valuePerCall, rule.valueTotal, 0);
        if (count == 0) return;
        uint256 places;
        for (uint256 i = 0; i < count; ++i) {
            Predicate calldata predicate = rule.predicates[i];
            if (predicate.word > 0x0fff) revert PredicatesInvalid(target, selector);
            places |= ((uint256(predicate.word) << 4) | uint8(predicate.comparison)) << (16 * i);
            stored.values[i] = predicate.value;
        }
        stored.places = places;
    }

    /// @dev A free place, sought from one that the key determines, so that few are looked at while most are free.
    function _takeSlot(address account, address key, bytes32 actorOmni) private returns (uint8) {
        for (uint256 i = 0; i < MAX_SESSIONS; ++i) {
            uint256 slot = (uint160(key) + i) % MAX_SESSIONS;
            uint256 entry = _list[slot][account];
            if (entry >> 96 != uint160(key) && _isListed(entry, slot, account)) continue;
            _list[slot][account] = (uint256(uint160(key)) << 96) | _tag(actorOmni);
            return uint8(slot);
        }
        revert TooManySessions(MAX_SESSIONS);
    }

    function _requireTimes(uint32 validAfter, uint32 validUntil) private view {
        uint256 time = block.timestamp;
        if (validAfter >= validUntil || validUntil <= time || validUntil > time + MAX_DURATION) {
            revert TimesInvalid(validAfter, validUntil, time);
        }
    }

    function _useNonce(address account, uint256 nonce) private {
        uint256 used = _nonces[nonce >> 8][account];
        uint256 bit = 1 << (nonce & 0xff);
        if (used & bit != 0) revert NonceNotFresh(account, nonce);
        _nonces[nonce >> 8][account] = used | bit;
        emit NonceUsed(account, nonce);
    }

    function _end(address key) private {
        _heads[key][msg.sender].validUntil = 0;
        emit SessionRevoked(msg.sender, key);
    }

    function _isListed(uint256 entry, uint256 slot, address account) private view returns (bool) {
        if (entry == 0) return false;
        SessionHead memory head = _heads[address(uint160(entry >> 96))][account];
        return head.slot == slot && _isLive(head, account);
    }

    function _isLive(SessionHead memory head, address account) private view returns (bool) {
        return head.validUntil > block.timestamp && head.generation == _generations[account];
    }

    function _tag(bytes32 actorOmni) private pure returns (uint96) {
        return uint96(bytes12(actorOmni));
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("AgentKeys SessionKeyValidator", "1");
    }
}
