// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { IMasterAccount, IMasterAccountFactory } from "../../contracts/interfaces/IMasterAccount.sol";
import { IOperatorPaymaster } from "../../contracts/interfaces/IOperatorPaymaster.sol";
import { Artifacts } from "./support/Artifacts.sol";
import { EntryPointHandler } from "./support/EntryPoints.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { Sink } from "./support/Sink.sol";
import { vm } from "./support/Vm.sol";

/// @title Two accounts without money, three sponsors' keys, an owner who changes budgets, and strangers
/// @notice What was paid is measured where it is paid: at the EntryPoint's books.
abstract contract PaymasterHandler is EntryPointHandler {
    struct Paid {
        uint256 window;
        uint256 amount; // wei, by the EntryPoint's books
    }

    /// @dev What a sponsor signs beside the operation.
    struct Offer {
        uint256 sponsor;
        uint48 validAfter;
        uint48 validUntil;
    }

    uint256 public constant ACCOUNTS = 2;
    uint256 public constant SPONSORS = 3;
    uint256 internal constant DEPOSIT = 1_000_000 ether;
    address internal constant OWNER = address(0x0e4e2);
    uint128 private constant VERIFICATION_GAS = 150_000;
    uint128 private constant POST_OP_GAS = 60_000;

    bytes32 private constant REQUEST = keccak256(
        "UserOperationRequest(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,uint256 paymasterVerificationGasLimit,uint256 paymasterPostOpGasLimit,uint48 validAfter,uint48 validUntil)"
    );

    IOperatorPaymaster internal immutable _paymaster;
    Sink internal immutable _sink = new Sink();
    address[ACCOUNTS] internal _accounts;

    mapping(uint256 key => bool) internal _sponsors;
    mapping(address account => IOperatorPaymaster.Budget) internal _budgets;
    mapping(address account => Paid) internal _paid;
    uint256 internal _paidInAll;

    constructor() {
        vm.warp(1_000_000_000);
        _paymaster = IOperatorPaymaster(
            Artifacts.deploy("paymaster/OperatorPaymaster", abi.encode(entryPoint, OWNER, address(0)))
        );
        IMasterAccountFactory factory = IMasterAccountFactory(
            Artifacts.deploy(
                "account/MasterAccountFactory",
                abi.encode(entryPoint, address(0x100), address(0), address(0))
            )
        );
        for (uint256 i = 0; i < ACCOUNTS; ++i) _accounts[i] = factory.createAccount(Passkeys.passkey(i + 1), 0);
        entryPoint.depositTo{ value: DEPOSIT }(address(_paymaster));
    }

    function acts() external pure override returns (bytes4[] memory all) {
        all = new bytes4[](9);
        all[0] = this.sponsored.selector;
        all[1] = this.sponsored.selector;
        all[2] = this.sponsoredTwice.selector;
        all[3] = this.changed.selector;
        all[4] = this.setBudget.selector;
        all[5] = this.sponsors.selector;
        all[6] = this.sponsors.selector;
        all[7] = this.stranger.selector;
        all[8] = this.warp.selector;
    }

    function counted() external pure override returns (string[] memory all) {
        all = new string[](6);
        all[0] = "paid";
        all[1] = "not paid";
        all[2] = "two paid";
        all[3] = "budget used up";
        all[4] = "budget set";
        all[5] = "sponsor removed";
    }

    /// @notice One operation with a sponsor's offer, in time or not, of a sponsor or of somebody else.
    function sponsored(uint256 seed) external {
        address account = _accounts[_pick(seed, 1, ACCOUNTS)];
        Offer memory offer = _offer(seed);
        PackedUserOperation[] memory ops = new PackedUserOperation[](1);
        ops[0] = _sponsoredOperation(account, offer, 0);
        _send(account, offer, ops, 1);
    }

    /// @notice Two of one account in one bundle: both reserve before either is charged.
    function sponsoredTwice(uint256 seed) external {
        address account = _accounts[_pick(seed, 1, ACCOUNTS)];
        Offer memory offer = _offer(seed);
        PackedUserOperation[] memory ops = new PackedUserOperation[](2);
        for (uint256 i = 0; i < 2; ++i) ops[i] = _sponsoredOperation(account, offer, i);
        _send(account, offer, ops, 2);
    }

    /// @notice A sponsor's offer for another operation than the one that is sent.
    function changed(uint256 seed) external {
        address account = _accounts[_pick(seed, 1, ACCOUNTS)];
        PackedUserOperation memory op = _operationOf(account, 0);
        bytes memory offered = _offered(op, _offer(seed));
        uint256 field = _pick(seed, 7, 5);
        if (field == 0)
            op.callData = abi.encodeCall(IMasterAccount.execute, (0, abi.encodePacked(_sink, uint256(0), seed)));
        if (field == 1) op.preVerificationGas += 1;
        if (field == 2) op.gasFees = bytes32(uint256(op.gasFees) + 1);
        if (field == 3) op.accountGasLimits = bytes32(uint256(op.accountGasLimits) + 1);
        if (field == 4) offered[20 + 31] = bytes1(uint8(offered[20 + 31]) ^ 1); // gas of the post-operation call
        op.paymasterAndData = offered;
        _mustNot(_handle(_signed(op)), "an operation was paid that no sponsor had signed");
    }

    function setBudget(uint256 seed) external {
        address account = _accounts[_pick(seed, 1, ACCOUNTS)];
        IOperatorPaymaster.Budget memory budget = IOperatorPaymaster.Budget({
            perWindow: uint128(_pick(seed, 2, 9) * 0.001 ether),
            windowSeconds: uint32(3600 * (1 + _pick(seed, 3, 40))),
            validUntil: uint48(block.timestamp + 1 + _pick(seed, 4, 20 days))
        });
        bytes memory data = abi.encodeCall(
            _paymaster.setBudget,
            (account, budget.perWindow, budget.windowSeconds, budget.validUntil)
        );
        _mustNot(!_callAs(OWNER, address(_paymaster), data), "the owner could not set a budget");
        uint256 old = _budgets[account].windowSeconds;
        bool isSpending = old != 0 && _paid[account].window == block.timestamp / old;
        _paid[account] = Paid(block.timestamp / budget.windowSeconds, isSpending ? _paid[account].amount : 0);
        _budgets[account] = budget;
        _count("budget set");
    }

    /// @notice A sponsor comes, mostly, or goes.
    function sponsors(uint256 seed) external {
        uint256 key = _pick(seed, 1, SPONSORS);
        bool comes = _pick(seed, 2, 4) > 0;
        address sponsor = vm.addr(101 + key);
        bytes memory data =
            comes
                ? abi.encodeCall(_paymaster.addSponsor, (sponsor))
                : abi.encodeCall(_paymaster.removeSponsor, (sponsor));
        if (!_callAs(OWNER, address(_paymaster), data)) return;
        _sponsors[key] = comes;
        if (!comes) _count("sponsor removed");
    }

    function stranger(uint256 seed) external {
        address[3] memory callers = [address(0xbad), _accounts[0], vm.addr(101)];
        address caller = callers[_pick(seed, 1, 3)];
        bytes[] memory attempts = new bytes[](5);
        attempts[0] = abi.encodeCall(
            _paymaster.setBudget,
            (_accounts[0], 1 ether, 3600, uint48(block.timestamp + 1 days))
        );
        attempts[1] = abi.encodeCall(_paymaster.addSponsor, (caller));
        attempts[2] = abi.encodeCall(_paymaster.withdraw, (payable(caller), 1));
        attempts[3] = abi.encodeCall(_paymaster.unlockStake, ());
        attempts[4] = abi.encodeWithSignature(
            "postOp(uint8,bytes,uint256,uint256)",
            0,
            abi.encode(_accounts[0], 1 ether, 0),
            0,
            0
        );
        for (uint256 i = 0; i < attempts.length; ++i) {
            _mustNot(_callAs(caller, address(_paymaster), attempts[i]), "a stranger did what is the owner's");
        }
    }

    // -------------------------------------------------------------------------------------------------------- helpers

    function _send(address account, Offer memory offer, PackedUserOperation[] memory ops, uint256 count) private {
        (bool isOffered, bool isLeft) = _promised(account, offer, count * _maxCost(ops[0]));
        uint256 before = entryPoint.balanceOf(address(_paymaster));
        if (!_handle(ops)) {
            _mustNot(isLeft, "not paid though a sponsor promised and the budget had it");
            if (isOffered) _count("budget used up");
            return _count("not paid");
        }
        _mustNot(!isOffered, "paid without a sponsor's word, or out of time");
        _charge(account, before - entryPoint.balanceOf(address(_paymaster)));
        _count(count == 1 ? "paid" : "two paid");
    }

    /// @dev Whether a sponsor's word holds now, and whether the budget also has the greatest cost left.
    function _promised(
        address account,
        Offer memory offer,
        uint256 maxCost
    ) private view returns (bool isOffered, bool isLeft) {
        IOperatorPaymaster.Budget memory budget = _budgets[account];
        if (budget.perWindow == 0 || !_sponsors[offer.sponsor]) return (false, false);
        uint256 until = offer.validUntil < budget.validUntil ? offer.validUntil : budget.validUntil;
        isOffered = _isTimely(offer, until, budget.windowSeconds);
        isLeft = isOffered && _paymaster.leftIn(account, uint48(until)) >= maxCost;
    }

    function _charge(address account, uint256 cost) private {
        Paid storage paid = _paid[account];
        uint256 window = block.timestamp / _budgets[account].windowSeconds;
        if (paid.window != window) (paid.window, paid.amount) = (window, 0);
        paid.amount += cost;
        _paidInAll += cost;
        _mustNot(paid.amount > _budgets[account].perWindow, "more was paid in a window than its budget");
    }

    function _isTimely(Offer memory offer, uint256 until, uint256 windowSeconds) private view returns (bool) {
        uint256 from = (until / windowSeconds) * windowSeconds;
        if (from < offer.validAfter) from = offer.validAfter;
        return block.timestamp > from && block.timestamp <= until;
    }

    function _offer(uint256 seed) private view returns (Offer memory) {
        return
            Offer({
                sponsor: _pick(seed, 4, SPONSORS),
                validAfter: uint48(block.timestamp - 1 + (_pick(seed, 5, 8) == 0 ? 2 : 0)),
                validUntil: uint48(block.timestamp + _pick(seed, 6, 900) - (_pick(seed, 8, 8) == 0 ? 300 : 0))
            });
    }

    function _operationOf(address account, uint256 number) private view returns (PackedUserOperation memory op) {
        op = _operation(account, 0, abi.encodeCall(IMasterAccount.execute, (0, abi.encodePacked(_sink, uint256(0)))));
        op.nonce += number;
    }

    function _sponsoredOperation(
        address account,
        Offer memory offer,
        uint256 number
    ) private view returns (PackedUserOperation memory op) {
        op = _operationOf(account, number);
        op.paymasterAndData = _offered(op, offer);
        op = _signed(op);
    }

    function _offered(PackedUserOperation memory op, Offer memory offer) private view returns (bytes memory) {
        bytes32 request = keccak256(
            bytes.concat(
                abi.encode(REQUEST, op.sender, op.nonce, keccak256(op.initCode), keccak256(op.callData)),
                abi.encode(op.accountGasLimits, op.preVerificationGas, op.gasFees),
                abi.encode(uint256(VERIFICATION_GAS), uint256(POST_OP_GAS), offer.validAfter, offer.validUntil)
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("AgentKeys OperatorPaymaster"),
                keccak256("1"),
                block.chainid,
                _paymaster
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            101 + offer.sponsor,
            keccak256(bytes.concat(hex"1901", domain, request))
        );
        return
            bytes.concat(
                abi.encodePacked(_paymaster, VERIFICATION_GAS, POST_OP_GAS),
                abi.encodePacked(offer.validAfter, offer.validUntil, r, s, v)
            );
    }

    function _signed(PackedUserOperation memory op) private view returns (PackedUserOperation memory) {
        uint256 secret = op.sender == _accounts[0] ? 1 : 2;
        op.signature = Passkeys.sign(secret, entryPoint.getUserOpHash(op), Passkeys.Flaw.NONE);
        return op;
    }

    function _maxCost(PackedUserOperation memory op) private pure returns (uint256) {
        uint256 gas =
            op.preVerificationGas + (uint256(op.accountGasLimits) >> 128) + uint128(uint256(op.accountGasLimits));
        return (gas + VERIFICATION_GAS + POST_OP_GAS) * GAS_PRICE;
    }
}
