// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IERC7579Validator } from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";

/// @notice How a predicate compares a word of a call's data with its own, both as unsigned numbers.
enum Comparison {
    EQUAL,
    NOT_EQUAL,
    AT_MOST,
    AT_LEAST
}

/// @notice What must be true of one parameter.
struct Predicate {
    /// @dev Which 32-byte word after the selector, from 0; at most 4,095. A call whose data end before it is refused. A
    /// word inside of a dynamic parameter means something only where another predicate fixes that parameter's offset.
    uint16 word;
    /// @dev How it is compared.
    Comparison comparison;
    /// @dev With what; an address or a smaller number is padded to the word as the ABI does.
    bytes32 value;
}

/// @notice One function of one contract that the key may call.
struct Rule {
    /// @dev Never zero, the account, the EntryPoint or a contract of AgentKeys.
    address target;
    /// @dev The function; zero means a call with no data at all (a plain transfer), and no other.
    bytes4 selector;
    /// @dev Most wei that one call may carry.
    uint80 valuePerCall;
    /// @dev Most wei that all calls under this rule may carry together.
    uint80 valueTotal;
    /// @dev At most 16; all must hold.
    Predicate[] predicates;
}

/// @notice How much of one ERC-20 token the key may move or approve.
struct TokenLimit {
    /// @dev The token.
    address token;
    /// @dev In the token's smallest unit, all transfers and approvals together; not zero.
    uint128 total;
}

/// @notice What an agent's key may do for an account; whatever is not named is refused.
struct Session {
    /// @dev The agent.
    bytes32 actorOmni;
    /// @dev The address of its secp256k1 key.
    address key;
    /// @dev Unix seconds, the first at which the session is live (EntryPoint v0.8 includes operations only after it).
    uint32 validAfter;
    /// @dev Unix seconds, the first at which it is not live any more; at most 7 days after the grant.
    uint32 validUntil;
    /// @dev Length of a rate window, 60 to 604,800 seconds. Window n begins at Unix second n times this.
    uint24 windowSeconds;
    /// @dev Most calls in one window, each call of a batch counted; 1 to 4,095.
    uint16 callsPerWindow;
    /// @dev Most that the gas of one operation may cost, in gwei: all five gas fields times maxFeePerGas.
    uint32 gasPerOperationGwei;
    /// @dev Most that the gas of all operations which the account itself pays may cost, in gwei, each rounded up.
    uint40 gasTotalGwei;
    /// @dev The only paymaster that may pay; zero for none.
    address paymaster;
    /// @dev As `gasTotalGwei`, of the operations that the paymaster pays, which are not in that one.
    uint40 paymasterTotalGwei;
    /// @dev At most one for each target and selector.
    Rule[] rules;
    /// @dev At most one for each token. Without one, no `transfer`, `transferFrom`, `approve`, `increaseAllowance` of that
    /// token (or through Permit2) passes, whatever the rules say.
    TokenLimit[] tokenLimits;
}

/// @notice What is stored of a session beside its rules.
struct SessionState {
    /// @dev As in {Session}; zero once revoked.
    uint32 validUntil;
    /// @dev As in {Session}.
    uint32 validAfter;
    /// @dev The last 18 bits of the account's generation when it was granted; others now mean that all were revoked.
    uint32 generation;
    /// @dev How many times this key was granted to; rules and limits of an earlier grant are dead.
    uint32 serial;
    /// @dev Its place among the account's 50.
    uint8 place;
    /// @dev As in {Session}.
    uint24 windowSeconds;
    /// @dev As in {Session}.
    uint16 callsPerWindow;
    /// @dev As in {Session}.
    uint32 gasPerOperationGwei;
    /// @dev What is left of `gasTotalGwei`.
    uint40 gasLeftGwei;
    /// @dev The last window in which calls were counted.
    uint32 window;
    /// @dev Calls counted in it.
    uint16 calls;
}

/// @notice The paymaster that a session names.
struct SessionSponsor {
    /// @dev The grant that this belongs to.
    uint32 serial;
    /// @dev As in {Session}.
    address paymaster;
    /// @dev What is left of `paymasterTotalGwei`.
    uint40 leftGwei;
}

/// @notice What is stored of a rule.
struct RuleState {
    /// @dev Of `valueTotal`, wei.
    uint80 valueSpent;
    /// @dev As in {Rule}, wei.
    uint80 valueTotal;
    /// @dev As in {Rule}, wei.
    uint80 valuePerCall;
    /// @dev How many predicates it has.
    uint8 predicates;
    /// @dev False where the session has no such rule.
    bool isGranted;
}

/// @notice What is stored of a token's limit.
struct TokenState {
    /// @dev Of `total`.
    uint128 spent;
    /// @dev As in {TokenLimit}; zero where there is none.
    uint128 total;
}

/// @notice Which limit an operation would exceed.
enum Limit {
    GAS_PER_OPERATION,
    GAS_TOTAL,
    PAYMASTER_TOTAL,
    CALLS_PER_WINDOW,
    VALUE_PER_CALL,
    VALUE_TOTAL,
    TOKEN_TOTAL
}

/// @title Agents sign for an account, inside of what its owner granted
/// @notice An ERC-7579 validator. Whoever calls is the account: nobody grants, revokes or spends for another. Everything
/// is decided and counted in validation, so an operation whose execution fails has spent all the same.
///
/// An operation's signature is `0x08 ‖ account(20) ‖ key(20) ‖ r ‖ s ‖ v`, 106 bytes, by the key over the EIP-191 hash
/// (version 0x45) of the user-operation hash. Its calldata are `execute(bytes32 mode, bytes executionData)` of 1 to 16
/// calls in their one canonical encoding; the mode's first byte is 0 (single) or 1 (batch), its last four name the rate
/// window, all others are zero. `initCode` is empty; `paymasterAndData` are empty or begin with the session's paymaster.
/// @dev `validateUserOp` answers 1 in its lowest 160 bits for a signature that is not the key's, and reverts with the
/// errors below for all else that is refused. Its time range is the window's and the session's intersected.
/// `isValidSignatureWithSender` answers 0xffffffff always. There is nothing to install.
interface ISessionKeyValidator is IERC7579Validator {
    // ------------------------------------------------------------------------------------------------------- events

    /// @notice Emitted when a session begins; an earlier one of the same key has ended.
    /// @param account Who granted.
    /// @param key The key's address.
    /// @param actorOmni The agent.
    /// @param session All that was granted.
    event SessionGranted(address indexed account, address indexed key, bytes32 indexed actorOmni, Session session);

    /// @notice Emitted when a live session is ended, alone or with all of its actor's.
    /// @param account Who revoked.
    /// @param key The key's address.
    event SessionRevoked(address indexed account, address indexed key);

    /// @notice Emitted when all sessions, and all signed grants not yet used, are ended.
    /// @param account Who revoked.
    /// @param generation The account's new generation.
    event AllSessionsRevoked(address indexed account, uint32 generation);

    /// @notice Emitted when a grant's nonce is used up, by the grant or by cancelling it.
    /// @param account Whose nonce.
    /// @param nonce Which.
    event NonceUsed(address indexed account, uint256 nonce);

    // ------------------------------------------------------------------------------------- errors of a grant, a revocation

    /// @notice Thrown when a recovery of the account is pending.
    error RecoveryPending(address account);

    /// @notice Thrown when the key is zero or the account, or was granted to a million times.
    error KeyNotAllowed(address key);

    /// @notice Thrown when a session would end before it begins, end at or before now, or more than 7 days after.
    error TimesInvalid(uint32 validAfter, uint32 validUntil, uint256 blockTime);

    /// @notice Thrown when a window is shorter than 60 seconds or longer than 7 days, or has no calls or more than
    /// 4,095.
    error RateInvalid(uint24 windowSeconds, uint16 callsPerWindow);

    /// @notice Thrown when a rule's target may never be called by a key, or when its function moves tokens that cannot be
    /// counted (Permit2's batch transfer).
    error TargetNotAllowed(address target, bytes4 selector);

    /// @notice Thrown when a session has two rules for one target and selector.
    error RuleRepeated(address target, bytes4 selector);

    /// @notice Thrown when a rule has more than 16 predicates, one beyond word 4,095, or any on a call without data.
    error PredicatesInvalid(address target, bytes4 selector);

    /// @notice Thrown when a token's limit is zero or not the only one.
    error TokenLimitInvalid(address token, uint128 total);

    /// @notice Thrown when the account has that many live sessions already.
    error TooManySessions(uint256 limit);

    /// @notice Thrown when a signed grant comes too late.
    error DeadlinePassed(uint256 deadline, uint256 blockTime);

    /// @notice Thrown when a nonce was used or cancelled before.
    error NonceNotFresh(address account, uint256 nonce);

    /// @notice Thrown when the account does not accept a grant's signature, or has no code.
    error SignatureNotAccepted(address account);

    // ---------------------------------------------------------------------------------------- errors of an operation

    /// @notice Thrown when the account has no session of the key, or it was revoked; to revoke such a one as well.
    error SessionNotLive(address account, address key);

    /// @notice Thrown when an operation deploys its account.
    error InitCodeNotAllowed();

    /// @notice Thrown when the calldata are not exactly the encoding of 1 to 16 calls in a mode of a session.
    error CallDataNotCanonical();

    /// @notice Thrown when the window is outside of the session's times, or before one counted already.
    error WindowNotAllowed(uint32 window);

    /// @notice Thrown when the paymaster is not the session's, or its data are shorter than 52 bytes.
    error PaymasterNotAllowed(address paymaster);

    /// @notice Thrown when no rule allows a call; selector zero for calls of up to 3 bytes.
    error RuleUnknown(address target, bytes4 selector);

    /// @notice Thrown when a predicate does not hold, or the call's data end before its word.
    error PredicateFailed(address target, bytes4 selector, uint256 index);

    /// @notice Thrown when an operation wants more than is left.
    /// @param limit Which limit.
    /// @param wanted What it wants: gwei, calls, wei, or the token's unit.
    /// @param left What is left, in the same.
    error LimitExceeded(Limit limit, uint256 wanted, uint256 left);

    // ------------------------------------------------------------------------------------------------------ changes

    /// @notice Grants a session for the calling account; replaces the key's earlier one, whose counters do not go on.
    /// @dev Reverts {RecoveryPending}, {KeyNotAllowed}, {TimesInvalid}, {RateInvalid}, {TargetNotAllowed}, {RuleRepeated},
    /// {PredicatesInvalid}, {TokenLimitInvalid}, {TooManySessions}.
    /// @param session What is granted.
    function grant(Session calldata session) external;

    /// @notice Grants a session for an account that signed it. Anyone may call.
    /// @dev The signature is the account's (ERC-1271; a master account's through ERC-7739) over {grantDigest}. Reverts
    /// {DeadlinePassed}, {NonceNotFresh}, {SignatureNotAccepted}, and as {grant}.
    /// @param account Who grants.
    /// @param session What is granted.
    /// @param nonce Any number that the account has neither used nor cancelled; used up here.
    /// @param deadline Unix seconds, the last at which this may be called.
    /// @param signature The account's.
    function grantBySignature(
        address account,
        Session calldata session,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice Makes a grant that the calling account signed worthless. Reverts {NonceNotFresh}.
    /// @param nonce The grant's.
    function cancelNonce(uint256 nonce) external;

    /// @notice Ends the key's session with the calling account. Reverts {SessionNotLive}, so that a mistyped key is noticed.
    /// @param key The key's address.
    function revoke(address key) external;

    /// @notice Ends every session of an agent with the calling account; none is fine too.
    /// @param actorOmni The agent.
    function revokeActor(bytes32 actorOmni) external;

    /// @notice Ends every session with the calling account and every signed grant not yet used, in constant gas.
    function revokeAll() external;

    // -------------------------------------------------------------------------------------------------------- views

    /// @notice The keys whose sessions are neither revoked nor expired, those not begun yet included.
    /// @param account Who granted.
    /// @return keys At most 50, in no promised order.
    function sessionsOf(address account) external view returns (address[] memory keys);

    /// @notice A session, what is left of it, and its paymaster.
    /// @param account Who granted.
    /// @param key The key's address.
    /// @return isLive Neither revoked nor expired; false for an unknown one.
    /// @return state What was granted and what is left.
    /// @return sponsor The paymaster, zero but for its serial when there is none.
    function sessionOf(
        address account,
        address key
    ) external view returns (bool isLive, SessionState memory state, SessionSponsor memory sponsor);

    /// @notice A rule of the key's latest grant, and the value that it has used; its predicates are in {SessionGranted}.
    /// @param account Who granted.
    /// @param key The key's address.
    /// @param target The contract called.
    /// @param selector The function, zero for a call without data.
    function ruleOf(
        address account,
        address key,
        address target,
        bytes4 selector
    ) external view returns (RuleState memory);

    /// @notice A token limit of the key's latest grant, and how much of it is used.
    /// @param account Who granted.
    /// @param key The key's address.
    /// @param token The token.
    function tokenOf(address account, address key, address token) external view returns (TokenState memory);

    /// @notice How many times the account revoked everything; part of what it signs for a grant.
    /// @param account The account.
    function generationOf(address account) external view returns (uint32);

    /// @notice Whether a signed grant with this nonce would be refused for it.
    /// @param account The account.
    /// @param nonce The nonce.
    function isNonceUsed(address account, uint256 nonce) external view returns (bool);

    /// @notice What an account signs for {grantBySignature}: the EIP-712 digest, domain "AgentKeys SessionKeyValidator"
    /// version "1", this chain and contract, of `GrantSession(address account,uint32 generation,uint256 nonce,uint256
    /// deadline,Session session)` with the account's generation of now.
    /// @param account Who grants.
    /// @param session What is granted.
    /// @param nonce The grant's.
    /// @param deadline Unix seconds.
    function grantDigest(
        address account,
        Session calldata session,
        uint256 nonce,
        uint256 deadline
    ) external view returns (bytes32);

    /// @notice Whether no session of the account may have a rule for this target.
    /// @param account The account.
    /// @param target The contract.
    function isTargetRefused(address account, address target) external view returns (bool);

    /// @notice The contract that is asked whether a recovery is pending.
    function recovery() external view returns (address);
}
