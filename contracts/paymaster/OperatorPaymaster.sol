// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { PaymasterSigner } from "@openzeppelin/contracts/account/paymaster/extensions/PaymasterSigner.sol";
import { ERC4337Utils } from "@openzeppelin/contracts/account/utils/ERC4337Utils.sol";
import { IEntryPoint, PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { IOperatorPaymaster } from "../interfaces/IOperatorPaymaster.sol";

/// @title Pays for operators' user operations, within budgets
/// @notice See `IOperatorPaymaster`.
/// @dev Validation reserves the greatest cost of an operation, whatever else is in the bundle; after execution the
/// difference to what it cost at most is given back. Nothing is given back where the post-operation call fails, and
/// where the EntryPoint takes all that was reserved. To be staked: validation reads and writes the contract's own storage.
contract OperatorPaymaster is IOperatorPaymaster, PaymasterSigner, Ownable2Step {
    using ERC4337Utils for PackedUserOperation;

    /// @dev What an account spent, reservations included.
    struct Spending {
        /// @dev Number of the window: Unix time divided by its length.
        uint48 window;
        /// @dev Wei in that window.
        uint128 amount;
    }

    /// @dev paymaster, two gas limits, two times, signature
    uint256 private constant DATA_LENGTH = 129;

    /// @dev Most gas that an EntryPoint takes for its own work around {postOp}; measured: 1,500.
    uint256 private constant ENTRY_POINT_GAS = 10_000;

    /// @dev The EntryPoints take a tenth of the gas that was asked for and not used.
    uint256 private constant UNUSED_GAS_PENALTY_DIVISOR = 10;

    IEntryPoint private immutable _entryPoint;

    /// @inheritdoc IOperatorPaymaster
    mapping(address sponsor => bool) public isSponsor;

    /// @dev master account → its budget
    mapping(address account => Budget) private _budgets;

    /// @dev master account → the last window that it spent in
    mapping(address account => Spending) private _spendings;

    /// @notice Makes a paymaster without deposit and stake.
    /// @param entryPoint_ EntryPoint v0.7 or v0.8.
    /// @param owner Sets budgets and sponsors, and has deposit and stake; a multisig in production.
    /// @param sponsor The first sponsor, or zero for none yet.
    constructor(
        address entryPoint_,
        address owner,
        address sponsor
    ) EIP712("AgentKeys OperatorPaymaster", "1") Ownable(owner) {
        _entryPoint = IEntryPoint(entryPoint_);
        if (sponsor != address(0)) _addSponsor(sponsor);
    }

    /// @notice The EntryPoint that is obeyed, v0.7 or v0.8.
    /// @return Fixed at deployment.
    function entryPoint() public view override returns (IEntryPoint) {
        return _entryPoint;
    }

    /// @inheritdoc IOperatorPaymaster
    function budgetOf(address account) external view returns (Budget memory) {
        return _budgets[account];
    }

    /// @inheritdoc IOperatorPaymaster
    function leftIn(address account, uint48 time) external view returns (uint256) {
        Budget memory budget = _budgets[account];
        if (budget.perWindow == 0 || time > budget.validUntil) return 0;
        return _left(budget, _spentIn(account, time / budget.windowSeconds));
    }

    /// @inheritdoc IOperatorPaymaster
    function setBudget(address account, uint128 perWindow, uint32 windowSeconds, uint48 validUntil) external onlyOwner {
        bool isTimely = validUntil > block.timestamp && validUntil & ERC4337Utils.BLOCK_RANGE_FLAG == 0;
        if (account == address(0) || windowSeconds == 0 || !isTimely) {
            revert InvalidBudget(account, windowSeconds, validUntil);
        }
        uint48 time = uint48(block.timestamp);
        Budget storage budget = _budgets[account];
        if (budget.windowSeconds != 0) {
            uint128 spent = _spentIn(account, time / budget.windowSeconds);
            _spendings[account] = Spending({ window: time / windowSeconds, amount: spent });
        }
        _budgets[account] = Budget({ perWindow: perWindow, windowSeconds: windowSeconds, validUntil: validUntil });
        emit BudgetSet(account, perWindow, windowSeconds, validUntil);
    }

    /// @inheritdoc IOperatorPaymaster
    function addSponsor(address sponsor) external onlyOwner {
        _addSponsor(sponsor);
    }

    /// @inheritdoc IOperatorPaymaster
    function removeSponsor(address sponsor) external onlyOwner {
        if (!isSponsor[sponsor]) revert NotSponsor(sponsor);
        isSponsor[sponsor] = false;
        emit SponsorRemoved(sponsor);
    }

    /// @inheritdoc IOperatorPaymaster
    function deposit() external payable {
        _deposit(msg.value);
    }

    /// @inheritdoc IOperatorPaymaster
    function withdraw(address payable to, uint256 amount) external onlyOwner {
        _withdraw(to, amount);
    }

    /// @inheritdoc IOperatorPaymaster
    function addStake(uint32 unstakeDelay) external payable onlyOwner {
        _addStake(msg.value, unstakeDelay);
    }

    /// @inheritdoc IOperatorPaymaster
    function unlockStake() external onlyOwner {
        _unlockStake();
    }

    /// @inheritdoc IOperatorPaymaster
    function withdrawStake(address payable to) external onlyOwner {
        _withdrawStake(to);
    }

    /// @notice Always reverts: without an owner deposit and stake would be lost.
    function renounceOwnership() public pure override {
        revert OwnershipNotRenounceable();
    }

    /// @dev A signature that is not a sponsor's, and data of another length, are 1; the budget is judged and charged all
    /// the same, so that an estimate made with a placeholder costs what the real one will.
    function _validatePaymasterUserOp(
        PackedUserOperation calldata userOp,
        bytes32,
        uint256 maxCost
    ) internal override returns (bytes memory context, uint256 validationData) {
        if (userOp.paymasterAndData.length != DATA_LENGTH) return ("", ERC4337Utils.SIG_VALIDATION_FAILED);
        (uint48 validAfter, uint48 validUntil, bytes calldata signature) = _decodePaymasterUserOp(userOp);
        bool isSigned = _rawSignatureValidation(_signableUserOpHash(userOp, validAfter, validUntil), signature);
        // later EntryPoints read times with this bit as block numbers, which are in no window
        if ((validAfter | validUntil) & ERC4337Utils.BLOCK_RANGE_FLAG != 0) isSigned = false;

        Budget memory budget = _budgets[userOp.sender];
        if (budget.perWindow == 0) revert BudgetExceeded(userOp.sender, 0, maxCost);
        if (validUntil > budget.validUntil) validUntil = budget.validUntil;
        // 0 would be no end to the EntryPoint
        if (validUntil == 0) isSigned = false;
        uint48 window = validUntil / budget.windowSeconds;
        // not a second early: v0.7 lets an operation pass in the second of its validAfter, v0.8 in the next one
        uint48 start = window * budget.windowSeconds;
        if (validAfter < start) validAfter = start;

        _reserve(userOp.sender, budget, window, maxCost);
        context = abi.encode(userOp.sender, maxCost, _gasAfterPostOp(userOp));
        validationData = ERC4337Utils.packValidationData(isSigned, validAfter, validUntil);
    }

    /// @dev Charges what the operation cost, and at most may still cost after this call. `actualGasCost` is without the
    /// gas of this call, of the EntryPoint's work behind it, and in v0.7 of the penalty for unused gas.
    function _postOp(
        PostOpMode,
        bytes calldata context,
        uint256 actualGasCost,
        uint256 actualUserOpFeePerGas
    ) internal override {
        (address account, uint256 reserved, uint256 gasAfter) = abi.decode(context, (address, uint256, uint256));
        uint256 charge = actualGasCost + gasAfter * actualUserOpFeePerGas;
        // same transaction, same window: the reservation is still there, even if the operation made the owner set the budget
        if (charge < reserved) _spendings[account].amount -= uint128(reserved - charge);
    }

    /// @dev Whether a sponsor made this `r ‖ s ‖ v`.
    function _rawSignatureValidation(bytes32 hash, bytes calldata signature) internal view override returns (bool) {
        (address signer, , ) = ECDSA.tryRecoverCalldata(hash, signature);
        return isSponsor[signer];
    }

    function _addSponsor(address sponsor) private {
        if (sponsor == address(0) || isSponsor[sponsor]) revert InvalidSponsor(sponsor);
        isSponsor[sponsor] = true;
        emit SponsorAdded(sponsor);
    }

    function _reserve(address account, Budget memory budget, uint48 window, uint256 maxCost) private {
        uint128 spent = _spentIn(account, window);
        uint256 left = _left(budget, spent);
        if (maxCost > left) revert BudgetExceeded(account, left, maxCost);
        _spendings[account] = Spending({ window: window, amount: spent + uint128(maxCost) });
    }

    /// @dev A new window starts with nothing, and an earlier one never comes back: two that took turns would both be new.
    function _spentIn(address account, uint48 window) private view returns (uint128) {
        Spending memory spending = _spendings[account];
        if (window < spending.window) return type(uint128).max;
        return window == spending.window ? spending.amount : 0;
    }

    /// @dev What the EntryPoint may charge for beyond the `actualGasCost` that it tells {postOp}.
    function _gasAfterPostOp(PackedUserOperation calldata userOp) private pure returns (uint256) {
        uint256 callGas = userOp.callGasLimit();
        return userOp.paymasterPostOpGasLimit() + callGas / UNUSED_GAS_PENALTY_DIVISOR + ENTRY_POINT_GAS;
    }

    function _left(Budget memory budget, uint128 spent) private pure returns (uint256) {
        return spent < budget.perWindow ? budget.perWindow - spent : 0;
    }
}
