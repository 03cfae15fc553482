// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import { IERC7579Module, IERC7579Validator } from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";

import { Limit } from "../interfaces/ISessionKeyValidator.sol";
import { CanonicalExecution } from "../libraries/CanonicalExecution.sol";
import { TokenSpend } from "../libraries/TokenSpend.sol";
import { SessionGrants } from "./SessionGrants.sol";

/// @title Agents sign for an account, inside of what its owner granted
/// @notice Decides an operation and counts it; see `ISessionKeyValidator`.
/// @dev A target that may never be called has no rule, because none can be granted: so it is refused here as well. Limits
/// are counted for a wrong signature of the right form too, so that estimates are true; the EntryPoint undoes it all.
contract SessionKeyValidator is SessionGrants {
    /// @dev 0x08 ‖ account(20) ‖ key(20) ‖ r ‖ s ‖ v.
    uint256 private constant SIGNATURE_LENGTH = 106;
    uint256 private constant SIGNATURE_TAG = 0x08 << 160;

    /// @dev Half of secp256k1's order: the highest low `s`.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev The EntryPoint takes no gas field and no fee above it; sums and products of such stay exact.
    uint256 private constant MAX_GAS_FIELD = type(uint120).max;

    /// @dev paymaster(20) ‖ verification gas(16) ‖ post-operation gas(16).
    uint256 private constant PAYMASTER_HEAD = 52;

    /// @notice Makes the validator of the accounts of one EntryPoint and one recovery contract.
    /// @param entryPoint EntryPoint v0.7 or v0.8.
    /// @param recovery_ The accounts' recovery contract, whose pending recoveries stop grants.
    /// @param ownContracts All others that no key may call: registries, epoch counter, audit, paymaster, factory.
    constructor(
        address entryPoint,
        address recovery_,
        address[] memory ownContracts
    ) SessionGrants(entryPoint, recovery_, ownContracts) {}

    /// @inheritdoc IERC7579Validator
    function validateUserOp(
        PackedUserOperation calldata userOp,
        bytes32 userOpHash
    ) external returns (uint256 validationData) {
        address account = msg.sender;
        bytes calldata signature = userOp.signature;
        uint256 owner;
        uint256 key;
        assembly ("memory-safe") {
            owner := shr(88, calldataload(signature.offset))
            key := shr(96, calldataload(add(signature.offset, 21)))
        }
        if (signature.length != SIGNATURE_LENGTH || owner != SIGNATURE_TAG | uint160(account)) return 1;
        if (userOp.sender != account) return 1;

        uint256 slot = _slot(HEAD | key, account);
        uint256 head = _read(slot);
        if (!_isUnrevoked(head, account)) _fail(SessionNotLive.selector, 2, uint160(account), key, 0);
        if (userOp.initCode.length != 0) _fail(InitCodeNotAllowed.selector, 0, 0, 0, 0);

        head = _countGas(account, key, head, userOp);
        (validationData, head) = _countCalls(account, key, head, userOp.callData);
        _write(slot, head);
        if (!_isSignedBy(key, userOpHash, signature)) validationData |= 1;
    }

    /// @notice Never valid: a session key signs operations and nothing else.
    /// @return 0xffffffff.
    function isValidSignatureWithSender(address, bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }

    /// @inheritdoc IERC7579Module
    function isModuleType(uint256 moduleTypeId) external pure returns (bool) {
        return moduleTypeId == 1; // validator
    }

    /// @notice Does nothing: the validator is fixed in the account, and without a grant it allows nothing.
    function onInstall(bytes calldata) external {}

    /// @notice Does nothing; {revokeAll} ends the sessions.
    function onUninstall(bytes calldata) external {}

    /// @dev All five gas fields times maxFeePerGas, against the operation's limit and what is left for whoever pays.
    function _countGas(
        address account,
        uint256 key,
        uint256 head,
        PackedUserOperation calldata userOp
    ) private returns (uint256) {
        unchecked {
            bytes calldata sponsor = userOp.paymasterAndData;
            uint256 fee = uint128(uint256(userOp.gasFees));
            uint256 gas = userOp.preVerificationGas;
            uint256 all = fee | gas;
            (gas, all) = _addTwo(gas, all, uint256(userOp.accountGasLimits));
            uint256 paymaster;
            if (sponsor.length != 0) {
                uint256 two;
                assembly ("memory-safe") {
                    paymaster := shr(96, calldataload(sponsor.offset))
                    two := calldataload(add(sponsor.offset, 20))
                }
                if (sponsor.length < PAYMASTER_HEAD || paymaster == 0) {
                    _fail(PaymasterNotAllowed.selector, 1, paymaster, 0, 0);
                }
                (gas, all) = _addTwo(gas, all, two);
            }
            uint256 cost = all > MAX_GAS_FIELD ? all : (gas * fee + 1 gwei - 1) / 1 gwei;
            _requireLeft(Limit.GAS_PER_OPERATION, cost, uint32(head >> 140));
            if (paymaster == 0) {
                _requireLeft(Limit.GAS_TOTAL, cost, uint40(head >> 172));
                return head - (cost << 172);
            }
            uint256 sponsored = _sponsor(key, _serial(head), account);
            if (uint160(sponsored >> 32) != paymaster) _fail(PaymasterNotAllowed.selector, 1, paymaster, 0, 0);
            _requireLeft(Limit.PAYMASTER_TOTAL, cost, sponsored >> 192);
            _save(SPONSOR | key, account, sponsored - (cost << 192));
            return head;
        }
    }

    /// @dev Adds both halves of a word to a sum, and their bits to what shows the highest one.
    function _addTwo(uint256 sum, uint256 bits, uint256 two) private pure returns (uint256, uint256) {
        unchecked {
            return (sum + (two >> 128) + uint128(two), bits | (two >> 128) | uint128(two));
        }
    }

    /// @dev Reads every call and counts it.
    function _countCalls(
        address account,
        uint256 key,
        uint256 head,
        bytes calldata callData
    ) private returns (uint256 timeRange, uint256) {
        (bytes calldata data, uint256 window, uint256 count, uint256 at) = CanonicalExecution.open(callData);
        (timeRange, head) = _countRate(head, window, count);
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                address to;
                uint256 value;
                bytes calldata inner;
                (to, value, inner, at) = CanonicalExecution.callAt(data, at, i);
                _countCall(account, key, _serial(head), to, value, inner);
            }
        }
        if (at != data.length) _fail(CallDataNotCanonical.selector, 0, 0, 0, 0);
        return (timeRange, head);
    }

    function _countRate(uint256 head, uint256 window, uint256 count) private pure returns (uint256 timeRange, uint256) {
        unchecked {
            uint256 counted = uint32(head >> 212);
            uint256 size = (head >> 108) & 0xfffff;
            uint256 start = window * size;
            uint256 end = start + size;
            if (start < uint32(head >> 32)) start = uint32(head >> 32);
            if (end > uint32(head)) end = uint32(head);
            if (start >= end || window < counted) _fail(WindowNotAllowed.selector, 1, window, 0, 0);
            uint256 calls = window == counted ? head >> 244 : 0;
            _requireLeft(Limit.CALLS_PER_WINDOW, count, ((head >> 128) & 0xfff) - calls);
            head = ((calls + count) << 244) | (window << 212) | ((head << 44) >> 44);
            // ERC-4337's validUntil is the last second that is valid
            return ((start << 208) | ((end - 1) << 160), head);
        }
    }

    function _countCall(
        address account,
        uint256 key,
        uint256 serial,
        address to,
        uint256 value,
        bytes calldata data
    ) private {
        bytes4 selector = bytes4(data); // shorter data are padded with zeros
        uint256 slot = _ruleSlot(key, serial, to, selector, account);
        uint256 rule = _read(slot);
        if (data.length < 4 ? data.length != 0 : selector == 0) rule = 0;
        if (rule == 0) _failRule(RuleUnknown.selector, to, selector);
        uint256 predicates = uint8(rule >> 240);
        if (predicates != 0) _requirePredicates(slot, predicates, to, data);
        unchecked {
            if (value != 0) {
                _requireLeft(Limit.VALUE_PER_CALL, value, uint80(rule >> 160));
                _requireLeft(Limit.VALUE_TOTAL, value, uint80(rule >> 80) - uint80(rule));
                _write(slot, rule + value);
            }
            (bool isSpend, address token, uint256 amount) = TokenSpend.spentBy(to, data);
            if (isSpend) {
                slot = _tokenSlot(key, serial, token, account);
                uint256 state = _read(slot);
                // without a limit, not even nothing passes
                if (state == 0) _fail(LimitExceeded.selector, 3, uint256(Limit.TOKEN_TOTAL), amount, 0);
                _requireLeft(Limit.TOKEN_TOTAL, amount, (state >> 128) - uint128(state));
                _write(slot, state + amount);
            }
        }
    }

    function _requirePredicates(uint256 slot, uint256 count, address to, bytes calldata data) private view {
        unchecked {
            uint256 places = _read(slot + 1);
            for (uint256 i = 0; i < count; ++i) {
                uint256 index = uint16(places >> (16 * i)) >> 4;
                uint256 comparison = (places >> (16 * i)) & 0xf;
                uint256 word = TokenSpend.word(data, index);
                uint256 wanted = _read(slot + 2 + i);
                // Comparison: EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST
                bool holds =
                    comparison < 2
                        ? (word == wanted) == (comparison == 0)
                        : (comparison == 2 ? word <= wanted : word >= wanted);
                if (!holds || data.length < 36 + 32 * index) {
                    _fail(PredicateFailed.selector, 3, uint160(to), uint256(bytes32(bytes4(data))), i);
                }
            }
        }
    }

    function _requireLeft(Limit limit, uint256 wanted, uint256 left) private pure {
        if (wanted > left) _fail(LimitExceeded.selector, 3, uint256(limit), wanted, left);
    }

    /// @dev ECDSA over the EIP-191 hash of the operation's; low `s` only. All gas is forwarded with `not(0)`: compiled
    /// through the IR, other opcodes come between GAS and its call, which ERC-7562 [OP-012] forbids.
    function _isSignedBy(
        uint256 key,
        bytes32 userOpHash,
        bytes calldata signature
    ) private view returns (bool isSigned) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(0x00, "\x19Ethereum Signed Message:\n32")
            mstore(0x1c, userOpHash)
            mstore(m, keccak256(0x00, 0x3c))
            mstore(add(m, 0x20), byte(0, calldataload(add(signature.offset, 105)))) // v
            calldatacopy(add(m, 0x40), add(signature.offset, 41), 0x40) // r, s
            mstore(0x00, 0x00)
            pop(staticcall(not(0), 0x01, m, 0x80, 0x00, 0x20))
            isSigned := and(eq(mload(0x00), key), iszero(gt(mload(add(m, 0x60)), MAX_S)))
        }
    }
}
