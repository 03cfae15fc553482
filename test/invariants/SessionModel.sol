// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Comparison,
    ISessionKeyValidator,
    Predicate,
    Rule,
    Session,
    TokenLimit
} from "../../contracts/interfaces/ISessionKeyValidator.sol";
import { EntryPointHandler } from "./support/EntryPoints.sol";
import { TokenDouble } from "./support/Doubles.sol";
import { Sink } from "./support/Sink.sol";

/// @title What a session may do, decided a second time
/// @notice Terms, counters and the decision, written from the interface's text and sharing no line with the validator.
abstract contract SessionModel is EntryPointHandler {
    /// @dev The four functions that sessions can have a rule for.
    uint256 internal constant PLAIN = 0; // the sink, no data
    uint256 internal constant NOTE = 1; // the sink, note(uint256), argument bounded
    uint256 internal constant TRANSFER = 2; // the token
    uint256 internal constant APPROVE = 3; // the token
    uint256 internal constant RULES = 4;

    struct Terms {
        bool granted;
        bool revoked;
        uint32 validAfter;
        uint32 validUntil;
        uint24 windowSeconds;
        uint16 callsPerWindow;
        uint32 gasPerOperation; // gwei
        uint40 gasTotal; // gwei
        uint256 noteAtMost;
        uint256 tokenTotal; // 0: no limit was given, so nothing moves
        bool[RULES] rules;
        uint80[RULES] valuePerCall;
        uint80[RULES] valueTotal;
    }

    struct Used {
        uint256 window;
        uint256 calls;
        uint256 gas; // gwei
        uint256 tokens;
        uint256[RULES] values;
    }

    /// @dev One call that an operation makes; `rule` is RULES for everything that no session can be granted.
    struct Wish {
        uint256 rule;
        address to;
        uint256 value;
        bytes data;
        uint256 word; // the last parameter
    }

    Sink internal immutable _sink = new Sink();
    TokenDouble internal immutable _token = new TokenDouble();

    mapping(address account => mapping(uint256 key => Terms)) internal _terms;
    mapping(address account => mapping(uint256 key => Used)) internal _used;

    /// @dev Most and least that could ever have left an account; the properties compare with what did.
    mapping(address account => uint256) internal _valueSpent;
    mapping(address account => uint256) internal _tokensSpent;
    mapping(address account => uint256) internal _gasSpent;

    function _isLive(Terms memory t) internal pure returns (bool) {
        return t.granted && !t.revoked;
    }

    /// @dev What the session would have used afterwards; not ok where one rule or one limit is against it.
    function _decide(
        Terms memory t,
        Used memory u,
        Wish[] memory wishes,
        uint256 window,
        uint256 gas
    ) internal view returns (bool ok, Used memory after_) {
        after_ = abi.decode(abi.encode(u), (Used));
        if (!_isLive(t) || wishes.length == 0 || wishes.length > 16) return (false, after_);
        if (!_isTime(t, window) || window < u.window) return (false, after_);
        if (window != u.window) (after_.window, after_.calls) = (window, 0);
        after_.calls += wishes.length;
        after_.gas += gas;
        if (gas > t.gasPerOperation || after_.gas > t.gasTotal || after_.calls > t.callsPerWindow)
            return (false, after_);
        for (uint256 i = 0; i < wishes.length; ++i) if (!_isWithin(t, after_, wishes[i])) return (false, after_);
        ok = true;
    }

    /// @dev EntryPoint v0.8 takes an operation after its first second, up to and with its last.
    function _isTime(Terms memory t, uint256 window) private view returns (bool) {
        (uint256 from, uint256 to) = (window * t.windowSeconds, (window + 1) * t.windowSeconds);
        if (from < t.validAfter) from = t.validAfter;
        if (to > t.validUntil) to = t.validUntil;
        return block.timestamp > from && block.timestamp < to;
    }

    function _isWithin(Terms memory t, Used memory u, Wish memory w) private pure returns (bool) {
        if (w.rule >= RULES || !t.rules[w.rule]) return false;
        if (w.rule == NOTE && w.word > t.noteAtMost) return false;
        if (w.value > t.valuePerCall[w.rule]) return false;
        u.values[w.rule] += w.value;
        if (u.values[w.rule] > t.valueTotal[w.rule]) return false;
        if (w.rule < TRANSFER) return true;
        if (w.word > t.tokenTotal - u.tokens) return false;
        u.tokens += w.word;
        return true;
    }

    function _functionOf(uint256 rule) internal view returns (address target, bytes4 selector) {
        if (rule == PLAIN) return (address(_sink), 0);
        if (rule == NOTE) return (address(_sink), bytes4(keccak256("note(uint256)")));
        return (address(_token), rule == TRANSFER ? TokenDouble.transfer.selector : TokenDouble.approve.selector);
    }

    /// @dev The terms as the validator takes them.
    function _session(Terms memory t, address key, bytes32 actorOmni) internal view returns (Session memory s) {
        s.actorOmni = actorOmni;
        s.key = key;
        (s.validAfter, s.validUntil) = (t.validAfter, t.validUntil);
        (s.windowSeconds, s.callsPerWindow) = (t.windowSeconds, t.callsPerWindow);
        (s.gasPerOperationGwei, s.gasTotalGwei) = (t.gasPerOperation, t.gasTotal);
        uint256 count = 0;
        for (uint256 i = 0; i < RULES; ++i) if (t.rules[i]) ++count;
        s.rules = new Rule[](count);
        for (uint256 i = 0; i < RULES; ++i) {
            if (!t.rules[i]) continue;
            Rule memory rule = s.rules[--count];
            (rule.target, rule.selector) = _functionOf(i);
            (rule.valuePerCall, rule.valueTotal) = (t.valuePerCall[i], t.valueTotal[i]);
            rule.predicates = new Predicate[](i == NOTE ? 1 : 0);
            if (i == NOTE) rule.predicates[0] = Predicate(0, Comparison.AT_MOST, bytes32(t.noteAtMost));
        }
        s.tokenLimits = new TokenLimit[](t.tokenTotal == 0 ? 0 : 1);
        if (t.tokenTotal != 0) s.tokenLimits[0] = TokenLimit(address(_token), uint128(t.tokenTotal));
    }
}
