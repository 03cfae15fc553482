// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { SignatureCheckerLib } from "solady/src/utils/SignatureCheckerLib.sol";

import { IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import {
    ISessionKeyValidator,
    Predicate,
    Rule,
    RuleState,
    Session,
    SessionSponsor,
    SessionState,
    TokenLimit,
    TokenState
} from "../interfaces/ISessionKeyValidator.sol";
import { SessionHash } from "../libraries/SessionHash.sol";
import { TokenSpend } from "../libraries/TokenSpend.sol";
import { SessionStore } from "./SessionStore.sol";

/// @title Sessions as they are granted, listed and revoked
/// @notice Writes what `SessionKeyValidator` reads.
abstract contract SessionGrants is SessionStore, ISessionKeyValidator {
    uint256 private constant MAX_PREDICATES = 16;
    uint256 private constant MAX_WORD = 0x0fff;
    uint256 private constant MAX_SESSIONS = 50;
    uint256 private constant MAX_DURATION = 7 days;
    uint256 private constant MIN_WINDOW = 60;
    uint256 private constant MAX_CALLS = 4095;
    uint256 private constant MAX_SERIAL = 0xfffff;

    /// @inheritdoc ISessionKeyValidator
    address public immutable recovery;

    /// @dev A bit for the last byte of every refused address: most targets need not be looked up.
    uint256 private immutable _refusedBytes;

    /// @notice Fixes what no key may call, for every account.
    /// @param entryPoint The accounts' EntryPoint.
    /// @param recovery_ The accounts' recovery contract.
    /// @param ownContracts All others of AgentKeys.
    constructor(address entryPoint, address recovery_, address[] memory ownContracts) {
        recovery = recovery_;
        uint256 bits = _refuse(address(0)) | _refuse(address(this)) | _refuse(entryPoint) | _refuse(recovery_);
        for (uint256 i = 0; i < ownContracts.length; ++i) bits |= _refuse(ownContracts[i]);
        _refusedBytes = bits;
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
        if (block.timestamp > deadline) _fail(DeadlinePassed.selector, 2, deadline, block.timestamp, 0);
        _useNonce(account, nonce);
        bytes32 digest = grantDigest(account, session, nonce, deadline);
        if (!SignatureCheckerLib.isValidERC1271SignatureNowCalldata(account, digest, signature)) {
            _fail(SignatureNotAccepted.selector, 1, uint160(account), 0, 0);
        }
        _grant(account, session);
    }

    /// @inheritdoc ISessionKeyValidator
    function cancelNonce(uint256 nonce) external {
        _useNonce(msg.sender, nonce);
    }

    /// @inheritdoc ISessionKeyValidator
    function revoke(address key) external {
        if (!_isLive(_load(HEAD | uint160(key), msg.sender), msg.sender)) {
            _fail(SessionNotLive.selector, 2, uint160(msg.sender), uint160(key), 0);
        }
        _end(uint160(key));
    }

    /// @inheritdoc ISessionKeyValidator
    function revokeActor(bytes32 actorOmni) external {
        unchecked {
            for (uint256 place = 0; place < MAX_SESSIONS; ++place) {
                uint256 entry = _load(PLACE | place, msg.sender);
                if (uint96(entry) != _tag(actorOmni)) continue;
                if (_isTaken(entry, place, msg.sender)) _end(entry >> 96);
            }
        }
    }

    /// @inheritdoc ISessionKeyValidator
    function revokeAll() external {
        uint256 slot = _slot(GENERATION, msg.sender);
        uint256 generation;
        unchecked {
            generation = _read(slot) + 1;
        }
        _write(slot, generation);
        emit AllSessionsRevoked(msg.sender, uint32(generation));
    }

    /// @inheritdoc ISessionKeyValidator
    function sessionsOf(address account) external view returns (address[] memory keys) {
        uint256 count;
        keys = new address[](MAX_SESSIONS);
        unchecked {
            for (uint256 place = 0; place < MAX_SESSIONS; ++place) {
                uint256 entry = _load(PLACE | place, account);
                if (_isTaken(entry, place, account)) keys[count++] = address(uint160(entry >> 96));
            }
        }
        assembly ("memory-safe") {
            mstore(keys, count)
        }
    }

    /// @inheritdoc ISessionKeyValidator
    function sessionOf(
        address account,
        address key
    ) external view returns (bool isLive, SessionState memory state, SessionSponsor memory sponsor) {
        uint256 word = _load(HEAD | uint160(key), account);
        isLive = _isLive(word, account);
        assembly ("memory-safe") {
            pop(or(state, sponsor)) // named for the ABI; answered by the words themselves
        }
        uint256 to = _unpack(word, HEAD_WIDTHS, _begin(isLive ? 1 : 0));
        _return(_unpack(_sponsor(uint160(key), _serial(word), account), SPONSOR_WIDTHS, to));
    }

    /// @inheritdoc ISessionKeyValidator
    function ruleOf(
        address account,
        address key,
        address target,
        bytes4 selector
    ) external view returns (RuleState memory) {
        uint256 serial = _serial(_load(HEAD | uint160(key), account));
        uint256 word = _read(_ruleSlot(uint160(key), serial, target, selector, account));
        _return(_unpack(word, RULE_WIDTHS, _begin(0) - 32));
    }

    /// @inheritdoc ISessionKeyValidator
    function tokenOf(address account, address key, address token) external view returns (TokenState memory) {
        uint256 serial = _serial(_load(HEAD | uint160(key), account));
        uint256 word = _read(_tokenSlot(uint160(key), serial, token, account));
        _return(_unpack(word, TOKEN_WIDTHS, _begin(0) - 32));
    }

    /// @inheritdoc ISessionKeyValidator
    function generationOf(address account) external view returns (uint32) {
        return uint32(_load(GENERATION, account));
    }

    /// @inheritdoc ISessionKeyValidator
    function isNonceUsed(address account, uint256 nonce) external view returns (bool) {
        return (_load(NONCES | (nonce >> 8), account) >> (nonce & 0xff)) & 1 == 1;
    }

    /// @inheritdoc ISessionKeyValidator
    function grantDigest(
        address account,
        Session calldata session,
        uint256 nonce,
        uint256 deadline
    ) public view returns (bytes32) {
        return SessionHash.digest(account, _load(GENERATION, account), nonce, deadline, session);
    }

    /// @inheritdoc ISessionKeyValidator
    function isTargetRefused(address account, address target) public view returns (bool) {
        if (target == account) return true;
        if ((_refusedBytes >> uint8(uint160(target))) & 1 == 0) return false;
        return _load(REFUSED | uint160(target), address(0)) != 0;
    }

    function _refuse(address target) private returns (uint256 bit) {
        _save(REFUSED | uint160(target), address(0), 1);
        return 1 << uint8(uint160(target));
    }

    function _grant(address account, Session calldata session) private {
        if (_isRecoveryPending(account)) {
            _fail(RecoveryPending.selector, 1, uint160(account), 0, 0);
        }
        uint256 key = uint160(session.key);
        uint256 slot = _slot(HEAD | key, account);
        uint256 serial;
        unchecked {
            serial = _serial(_read(slot)) + 1;
        }
        if (key == 0 || key == uint160(account) || serial > MAX_SERIAL) _fail(KeyNotAllowed.selector, 1, key, 0, 0);
        _write(slot, _head(account, session) | (serial << 82));
        uint256 paymaster = uint160(session.paymaster);
        if (paymaster != 0) {
            _save(SPONSOR | key, account, (uint256(session.paymasterTotalGwei) << 192) | (paymaster << 32) | serial);
        }
        Rule[] calldata rules = session.rules;
        TokenLimit[] calldata limits = session.tokenLimits;
        unchecked {
            for (uint256 i = 0; i < rules.length; ++i) _addRule(account, key, serial, rules[i]);
            for (uint256 i = 0; i < limits.length; ++i) _addLimit(account, key, serial, limits[i]);
        }
        _emitGranted(account, key, session);
    }

    /// @dev The head without its serial.
    function _head(address account, Session calldata session) private returns (uint256) {
        uint256 validAfter = session.validAfter;
        uint256 validUntil = session.validUntil;
        uint256 window = session.windowSeconds;
        uint256 calls = session.callsPerWindow;
        bool isWrong = validAfter >= validUntil || validUntil <= block.timestamp;
        unchecked {
            isWrong = isWrong || validUntil - block.timestamp > MAX_DURATION;
        }
        if (isWrong) {
            _fail(TimesInvalid.selector, 3, validAfter, validUntil, block.timestamp);
        }
        if (window < MIN_WINDOW || window > MAX_DURATION || calls == 0 || calls > MAX_CALLS) {
            _fail(RateInvalid.selector, 2, window, calls, 0);
        }
        return
            validUntil |
            (validAfter << 32) |
            ((_load(GENERATION, account) & 0x3ffff) << 64) |
            (_takePlace(account, uint160(session.key), session.actorOmni) << 102) |
            (window << 108) |
            (calls << 128) |
            (uint256(session.gasPerOperationGwei) << 140) |
            (uint256(session.gasTotalGwei) << 172);
    }

    function _addRule(address account, uint256 key, uint256 serial, Rule calldata rule) private {
        address target = rule.target;
        bytes4 selector = rule.selector;
        if (isTargetRefused(account, target) || TokenSpend.isUncountable(selector)) {
            _failRule(TargetNotAllowed.selector, target, selector);
        }
        uint256 slot = _ruleSlot(key, serial, target, selector, account);
        if (_read(slot) != 0) _failRule(RuleRepeated.selector, target, selector);
        Predicate[] calldata predicates = rule.predicates;
        uint256 count = predicates.length;
        if (count > MAX_PREDICATES || (count != 0 && selector == 0)) {
            _failRule(PredicatesInvalid.selector, target, selector);
        }
        _write(
            slot,
            (1 << 248) | (count << 240) | (uint256(rule.valuePerCall) << 160) | (uint256(rule.valueTotal) << 80)
        );
        if (count == 0) return;
        uint256 places;
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                Predicate calldata predicate = predicates[i];
                uint256 word = predicate.word;
                if (word > MAX_WORD) _failRule(PredicatesInvalid.selector, target, selector);
                places |= ((word << 4) | uint256(predicate.comparison)) << (16 * i);
                _write(slot + 2 + i, uint256(predicate.value));
            }
            _write(slot + 1, places);
        }
    }

    function _addLimit(address account, uint256 key, uint256 serial, TokenLimit calldata limit) private {
        uint256 slot = _tokenSlot(key, serial, limit.token, account);
        uint256 total = limit.total;
        if (total == 0 || _read(slot) != 0) {
            _fail(TokenLimitInvalid.selector, 2, uint160(limit.token), total, 0);
        }
        _write(slot, total << 128);
    }

    /// @dev A free place, sought from one that the key determines, so that few are looked at while most are free.
    function _takePlace(address account, uint256 key, bytes32 actorOmni) private returns (uint256 place) {
        unchecked {
            for (uint256 i = 0; i < MAX_SESSIONS; ++i) {
                place = (key + i) % MAX_SESSIONS;
                uint256 slot = _slot(PLACE | place, account);
                uint256 entry = _read(slot);
                if (entry >> 96 != key && _isTaken(entry, place, account)) continue;
                _write(slot, (key << 96) | _tag(actorOmni));
                return place;
            }
        }
        _fail(TooManySessions.selector, 1, MAX_SESSIONS, 0, 0);
    }

    function _useNonce(address account, uint256 nonce) private {
        uint256 slot = _slot(NONCES | (nonce >> 8), account);
        uint256 used = _read(slot);
        uint256 bit = 1 << (nonce & 0xff);
        if (used & bit != 0) _fail(NonceNotFresh.selector, 2, uint160(account), nonce, 0);
        _write(slot, used | bit);
        emit NonceUsed(account, nonce);
    }

    function _end(uint256 key) private {
        uint256 slot = _slot(HEAD | key, msg.sender);
        _write(slot, (_read(slot) >> 32) << 32);
        emit SessionRevoked(msg.sender, address(uint160(key)));
    }

    /// @dev The session as it lies in the calldata, to their end: its offsets count from its own beginning, so it is an ABI
    /// encoding there as here, and what stands behind it (a grant's signature) belongs to no member.
    function _emitGranted(address account, uint256 key, Session calldata session) private {
        bytes32 topic = SessionGranted.selector;
        bytes32 actorOmni = session.actorOmni;
        assembly ("memory-safe") {
            let m := mload(0x40)
            let size := sub(calldatasize(), session)
            mstore(m, 0x20)
            calldatacopy(add(m, 0x20), session, size)
            log4(m, add(size, 0x20), topic, account, key, actorOmni)
        }
    }

    /// @dev Also where the recovery contract does not answer.
    function _isRecoveryPending(address account) private view returns (bool isPending) {
        address asked = recovery;
        bytes4 selector = IAccountRecovery.isPending.selector;
        assembly ("memory-safe") {
            mstore(0x00, selector)
            mstore(0x04, account)
            // evaluated from the last to the first
            isPending := iszero(
                and(
                    and(iszero(mload(0x00)), gt(returndatasize(), 0x1f)),
                    staticcall(gas(), asked, 0x00, 0x24, 0x00, 0x20)
                )
            )
        }
    }

    function _failRule(bytes4 error, address target, bytes4 selector) internal pure {
        _fail(error, 2, uint160(target), uint256(bytes32(selector)), 0);
    }

    function _isTaken(uint256 entry, uint256 place, address account) private view returns (bool) {
        if (entry == 0) return false;
        uint256 head = _load(HEAD | (entry >> 96), account);
        return (head >> 102) & 0x3f == place && _isLive(head, account);
    }

    function _isLive(uint256 head, address account) private view returns (bool) {
        return uint32(head) > block.timestamp && _isUnrevoked(head, account);
    }

    function _tag(bytes32 actorOmni) private pure returns (uint256) {
        return uint96(bytes12(actorOmni));
    }
}
