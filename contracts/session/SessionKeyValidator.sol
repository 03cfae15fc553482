// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import { IERC7579Module, IERC7579Validator } from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    Comparison,
    Limit,
    RuleState,
    SessionHead,
    SessionSpent,
    SessionSponsor,
    TokenState
} from "../interfaces/ISessionKeyValidator.sol";
import { CanonicalExecution } from "../libraries/CanonicalExecution.sol";
import { TokenSpend } from "../libraries/TokenSpend.sol";
import { SessionStore } from "./SessionStore.sol";

/// @title Agents sign for an account, inside of what its owner granted
/// @notice Decides an operation and counts it; see `ISessionKeyValidator`.
/// @dev A target that may never be called has no rule, because none can be granted: so it is refused here as well. Limits
/// are counted for a wrong signature of the right form too, so that estimates are true; the EntryPoint undoes it all.
contract SessionKeyValidator is SessionStore {
    /// @dev 0x08 ‖ account(20) ‖ key(20) ‖ r ‖ s ‖ v.
    uint256 private constant SIGNATURE_LENGTH = 106;

    /// @dev No gas field and no fee of an operation that the EntryPoint takes is above it; sums and products stay exact.
    uint256 private constant MAX_GAS_FIELD = type(uint120).max;

    /// @dev paymaster(20) ‖ verification gas(16) ‖ post-operation gas(16).
    uint256 private constant PAYMASTER_HEAD = 52;

    /// @notice Makes the validator of the accounts of one EntryPoint and one recovery contract.
    /// @param entryPoint EntryPoint v0.7 or v0.8.
    /// @param recovery_ The accounts' recovery contract, whose pending recoveries stop grants.
    /// @param ownContracts At most six others that no key may call: registries, audit, epoch counter, paymaster, factory.
    constructor(
        address entryPoint,
        address recovery_,
        address[] memory ownContracts
    ) SessionStore(entryPoint, recovery_, ownContracts) {}

    /// @inheritdoc IERC7579Validator
    function validateUserOp(
        PackedUserOperation calldata userOp,
        bytes32 userOpHash
    ) external returns (uint256 validationData) {
        address account = msg.sender;
        bytes calldata signature = userOp.signature;
        if (signature.length != SIGNATURE_LENGTH || signature[0] != 0x08) return 1;
        if (address(bytes20(signature[1:21])) != account || userOp.sender != account) return 1;
        address key = address(bytes20(signature[21:41]));

        SessionHead memory head = _heads[key][account];
        if (head.validUntil == 0 || head.generation != _generations[account]) revert SessionNotLive(account, key);
        if (userOp.initCode.length != 0) revert InitCodeNotAllowed();

        SessionSpent memory spent = _spentOf(account, key, head.serial);
        _countGas(account, key, head, spent, userOp);
        validationData = _countCalls(account, key, head, spent, userOp.callData);
        _spent[key][account] = spent;

        bytes32 digest = MessageHashUtils.toEthSignedMessageHash(userOpHash);
        (address signer, , ) = ECDSA.tryRecoverCalldata(digest, signature[41:]);
        if (signer != key) validationData |= 1;
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
        address key,
        SessionHead memory head,
        SessionSpent memory spent,
        PackedUserOperation calldata userOp
    ) private view {
        uint256 verification = uint256(userOp.accountGasLimits) >> 128;
        uint256 execution = uint128(uint256(userOp.accountGasLimits));
        uint256 before = userOp.preVerificationGas;
        uint256 fee = uint128(uint256(userOp.gasFees));
        uint256 all = verification | execution | before | fee;
        uint256 gas = 0;
        bytes calldata sponsor = userOp.paymasterAndData;
        if (sponsor.length >= PAYMASTER_HEAD) {
            uint256 paymasterVerification = uint128(bytes16(sponsor[20:36]));
            uint256 afterwards = uint128(bytes16(sponsor[36:52]));
            all |= paymasterVerification | afterwards;
            unchecked {
                gas = paymasterVerification + afterwards;
            }
        }
        if (all > MAX_GAS_FIELD) revert LimitExceeded(Limit.GAS_PER_OPERATION, all, head.gasPerOperationGwei);
        uint256 cost;
        unchecked {
            cost = ((gas + verification + execution + before) * fee + 1 gwei - 1) / 1 gwei;
        }
        _requireLeft(Limit.GAS_PER_OPERATION, cost, head.gasPerOperationGwei, 0);
        if (sponsor.length == 0) {
            _requireLeft(Limit.GAS_TOTAL, cost, head.gasTotalGwei, spent.gasGwei);
            spent.gasGwei += uint48(cost);
        } else {
            SessionSponsor memory named = _sponsorOf(account, key, head.serial);
            address paymaster = address(bytes20(sponsor));
            if (sponsor.length < PAYMASTER_HEAD || paymaster == address(0) || paymaster != named.paymaster) {
                revert PaymasterNotAllowed(paymaster);
            }
            _requireLeft(Limit.PAYMASTER_TOTAL, cost, named.totalGwei, spent.paymasterGwei);
            spent.paymasterGwei += uint48(cost);
        }
    }

    /// @dev Reads every call, counts it, and returns the time range.
    function _countCalls(
        address account,
        address key,
        SessionHead memory head,
        SessionSpent memory spent,
        bytes calldata callData
    ) private returns (uint256 timeRange) {
        (bytes calldata data, uint32 window, uint256 count, uint256 at) = CanonicalExecution.open(callData);
        timeRange = _countRate(head, spent, window, count);
        for (uint256 i = 0; i < count; ++i) {
            address to;
            uint256 value;
            bytes calldata inner;
            (to, value, inner, at) = CanonicalExecution.callAt(data, at, i);
            _countCall(account, key, head.serial, to, value, inner);
        }
        CanonicalExecution.close(data, at);
    }

    function _countRate(
        SessionHead memory head,
        SessionSpent memory spent,
        uint32 window,
        uint256 count
    ) private pure returns (uint256 timeRange) {
        uint256 start = uint256(window) * head.windowSeconds;
        uint256 end = start + head.windowSeconds;
        if (start < head.validAfter) start = head.validAfter;
        if (end > head.validUntil) end = head.validUntil;
        if (start >= end || window < spent.window) revert WindowNotAllowed(window);
        uint256 before = window == spent.window ? spent.calls : 0;
        _requireLeft(Limit.CALLS_PER_WINDOW, count, head.callsPerWindow, before);
        (spent.window, spent.calls) = (window, uint16(before + count));
        // ERC-4337's validUntil is the last second that is valid
        return (start << 208) | ((end - 1) << 160);
    }

    function _countCall(
        address account,
        address key,
        uint32 serial,
        address to,
        uint256 value,
        bytes calldata data
    ) private {
        bytes4 selector = bytes4(data); // shorter data are padded with zeros
        if (data.length >= 4 ? selector == 0 : data.length != 0) revert RuleUnknown(to, 0);
        StoredRule storage rule = _rule(account, key, serial, to, selector);
        RuleState memory state = rule.state;
        if (!state.isGranted) revert RuleUnknown(to, selector);
        if (state.predicates != 0) _requirePredicates(rule, state.predicates, to, data);
        if (value != 0) {
            _requireLeft(Limit.VALUE_PER_CALL, value, state.valuePerCall, 0);
            _requireLeft(Limit.VALUE_TOTAL, value, state.valueTotal, state.valueSpent);
            state.valueSpent += uint80(value);
            rule.state = state;
        }
        (bool isSpend, address token, uint256 amount) = TokenSpend.spentBy(to, data);
        if (isSpend) {
            TokenState storage limit = _token(account, key, serial, token);
            _requireLeft(Limit.TOKEN_TOTAL, amount, limit.total, limit.spent);
            limit.spent += uint128(amount);
        }
    }

    function _requirePredicates(StoredRule storage rule, uint256 count, address to, bytes calldata data) private view {
        uint256 places = rule.places;
        for (uint256 i = 0; i < count; ++i) {
            uint256 place = uint16(places >> (16 * i));
            uint256 index = place >> 4;
            uint256 word = TokenSpend.word(data, index);
            uint256 wanted = uint256(rule.values[i]);
            Comparison comparison = Comparison(place & 0xf);
            bool holds =
                comparison == Comparison.EQUAL
                    ? word == wanted
                    : comparison == Comparison.NOT_EQUAL
                        ? word != wanted
                        : comparison == Comparison.AT_MOST
                            ? word <= wanted
                            : word >= wanted;
            if (!holds || data.length < 36 + 32 * index) revert PredicateFailed(to, bytes4(data), i);
        }
    }

    function _requireLeft(Limit limit, uint256 wanted, uint256 total, uint256 spent) private pure {
        uint256 left = total - spent;
        if (wanted > left) revert LimitExceeded(limit, wanted, left);
    }
}
