// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { IMasterAccount, IMasterAccountFactory, Passkey } from "../../contracts/interfaces/IMasterAccount.sol";
import { Artifacts } from "./support/Artifacts.sol";
import { EntryPointHandler } from "./support/EntryPoints.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { Sink } from "./support/Sink.sol";

/// @title Two accounts, six passkeys that come and go, and strangers
/// @notice Sends user operations through the real EntryPoint, honest ones and flawed ones, calls the accounts as a
/// stranger, and writes down what honest operations alone would have done.
abstract contract AccountHandler is EntryPointHandler {
    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    /// @dev What an operation does if it is believed, decided before it is sent.
    struct Plan {
        bytes callData;
        uint256 calls; // of the sink
        uint256 paid; // wei to the sink
        uint256 added; // secret of a passkey, 0 for none
        uint256 removed;
    }

    uint256 public constant ACCOUNTS = 2;
    uint256 public constant PASSKEYS = 6;
    uint256 private constant BALANCE = 1000 ether;
    bytes32 private constant BATCH = bytes32(uint256(1) << 248);

    IMasterAccountFactory internal immutable _factory;
    Sink internal immutable _sink = new Sink();
    address[ACCOUNTS] internal _accounts;

    mapping(address account => mapping(uint256 secret => bool)) internal _active;
    mapping(address account => uint256) internal _passkeys;
    mapping(address account => uint256) internal _calls;
    mapping(address account => uint256) internal _paid;
    mapping(address account => uint256) internal _deposits;
    mapping(address account => uint256) internal _nonces;

    PackedUserOperation[] private _sent;

    constructor() {
        // no account here has guardians: the real contract must say so, and stay out
        address recovery = Artifacts.deploy(
            "recovery/AccountRecovery",
            abi.encode(Artifacts.deploy("registry/SidecarRegistry", ""))
        );
        _factory = IMasterAccountFactory(
            Artifacts.deploy(
                "account/MasterAccountFactory",
                abi.encode(entryPoint, address(0x100), _sessionValidator(), recovery)
            )
        );
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            address account = _factory.createAccount(Passkeys.passkey(i + 1), 0);
            _accounts[i] = account;
            (_active[account][i + 1], _passkeys[account]) = (true, 1);
            (bool ok, ) = account.call{ value: BALANCE }("");
            require(ok, "not funded");
            entryPoint.depositTo{ value: BALANCE }(account);
            _deposits[account] = BALANCE;
        }
    }

    function acts() external pure override returns (bytes4[] memory all) {
        all = new bytes4[](7);
        all[0] = this.operate.selector;
        all[1] = this.operateFlawed.selector;
        all[2] = this.operateChanged.selector;
        all[3] = this.operateWithOtherNonceKey.selector;
        all[4] = this.replay.selector;
        all[5] = this.stranger.selector;
        all[6] = this.createAgain.selector;
    }

    function counted() external pure override returns (string[] memory all) {
        all = new string[](8);
        all[0] = "call";
        all[1] = "batch";
        all[2] = "passkey added";
        all[3] = "passkey removed";
        all[4] = "first passkey removed";
        all[5] = "last passkey kept";
        all[6] = "deposit withdrawn";
        all[7] = "reentrance tried";
    }

    // ----------------------------------------------------------------------------------------------------- operations

    /// @notice An honest operation, or one signed by a passkey of the other account, or by one removed.
    function operate(uint256 seed) external {
        address account = _account(seed);
        uint256 secret = _signer(seed, account);
        (Plan memory plan, string memory name) = _plan(seed, account);
        PackedUserOperation memory op = _signed(_operation(account, 0, plan.callData), secret, Passkeys.Flaw.NONE);
        bool authorised = _active[account][secret];
        if (!_handle(op)) return _mustNot(authorised, "an honest operation was refused");
        _mustNot(!authorised, "somebody else's passkey moved an account");
        _sent.push(op);
        _happened(account, plan);
        _count(name);
    }

    /// @notice The right passkey, and one thing wrong with its assertion.
    function operateFlawed(uint256 seed) external {
        address account = _account(seed);
        (Plan memory plan, ) = _plan(seed, account);
        Passkeys.Flaw flaw = Passkeys.Flaw(1 + _pick(seed, 2, Passkeys.FLAWS - 1));
        PackedUserOperation memory op = _operation(account, 0, plan.callData);
        _mustNot(_handle(_signed(op, _anActive(seed, account), flaw)), "a flawed assertion moved an account");
    }

    /// @notice Honestly signed, then one field is another one.
    function operateChanged(uint256 seed) external {
        address account = _account(seed);
        (Plan memory plan, ) = _plan(seed, account);
        PackedUserOperation memory op = _operation(account, 0, plan.callData);
        op = _signed(op, _anActive(seed, account), Passkeys.Flaw.NONE);
        uint256 field = _pick(seed, 2, 6);
        if (field == 0) op.sender = _accounts[op.sender == _accounts[0] ? 1 : 0];
        if (field == 0) op.nonce = entryPoint.getNonce(op.sender, 0);
        if (field == 1) op.callData = bytes.concat(op.callData, hex"00");
        if (field == 2) op.accountGasLimits = bytes32(uint256(op.accountGasLimits) + 1);
        if (field == 3) op.preVerificationGas += 1;
        if (field == 4) op.gasFees = bytes32(uint256(op.gasFees) - 1);
        if (field == 5) op.callData = _execute(address(_sink), 1000, abi.encode(seed)); // no plan pays that much
        _mustNot(_handle(op), "an operation that was changed moved an account");
    }

    /// @notice A passkey's signature under a nonce key that is not the passkeys'.
    function operateWithOtherNonceKey(uint256 seed) external {
        address account = _account(seed);
        (Plan memory plan, ) = _plan(seed, account);
        uint192 key =
            _pick(seed, 2, 2) == 0 ? uint192(uint160(_sessionValidator())) : uint192(1 + (_word(seed, 3) % 9));
        PackedUserOperation memory op = _operation(account, key, plan.callData);
        op = _signed(op, _anActive(seed, account), Passkeys.Flaw.NONE);
        _mustNot(_handle(op), "a nonce key led around the passkeys");
    }

    /// @notice An operation that was executed, again: as it was, with the nonce of now, and twice in one bundle.
    function replay(uint256 seed) external {
        if (_sent.length == 0) return;
        PackedUserOperation memory op = _sent[_word(seed, 1) % _sent.length];
        if (_pick(seed, 2, 2) == 0) op.nonce = entryPoint.getNonce(op.sender, 0);
        _mustNot(_handle(op), "an operation was executed again");
        address account = _account(seed);
        PackedUserOperation[] memory twice = new PackedUserOperation[](2);
        twice[0] = _operation(account, 0, _execute(address(_sink), 1, ""));
        twice[0] = _signed(twice[0], _anActive(seed, account), Passkeys.Flaw.NONE);
        twice[1] = twice[0];
        _mustNot(_handle(twice), "an operation was executed twice");
    }

    /// @notice Somebody who is neither the EntryPoint nor the account, with a valid assertion at hand.
    function stranger(uint256 seed) external {
        address account = _account(seed);
        address[5] memory callers = [address(0xbad), BUNDLER, address(_factory), address(_sink), address(0)];
        callers[4] = _accounts[account == _accounts[0] ? 1 : 0];
        address caller = callers[_pick(seed, 2, 5)];
        bytes[] memory attempts = _attempts(seed, account);
        for (uint256 i = 0; i < attempts.length; ++i) {
            _mustNot(_callAs(caller, account, attempts[i]), "a stranger got into an account");
        }
        address implementation = _factory.implementation();
        for (uint256 i = 0; i < attempts.length; ++i) {
            _mustNot(_callAs(caller, implementation, attempts[i]), "a stranger got into the implementation");
        }
    }

    /// @notice An account is created once more, by anybody, and one of another passkey beside it.
    function createAgain(uint256 seed) external {
        uint256 number = _pick(seed, 1, ACCOUNTS);
        address again = _factory.createAccount(Passkeys.passkey(number + 1), 0);
        _mustNot(again != _accounts[number], "an account moved to another address");
        Passkey memory other = Passkeys.passkey(number + 1);
        other.credIdHash = bytes32(_word(seed, 2));
        address beside = _factory.createAccount(other, 0);
        _mustNot(beside == _accounts[0] || beside == _accounts[1], "another credential got an account's address");
    }

    // ---------------------------------------------------------------------------------------------------------- plans

    function _plan(uint256 seed, address account) private view returns (Plan memory plan, string memory name) {
        uint256 kind = _pick(seed, 20, 8);
        uint256 value = _pick(seed, 21, 1000);
        uint256 secret = 1 + _pick(seed, 22, PASSKEYS);
        if (kind == 0) {
            (plan.calls, plan.paid) = (1, value);
            plan.callData = _execute(address(_sink), value, abi.encode(seed));
            name = "call";
        } else if (kind == 1) {
            (plan.calls, plan.paid) = (2, 2 * value);
            plan.callData = _batch(Call(address(_sink), value, ""), Call(address(_sink), value, hex"01"));
            name = "batch";
        } else if (kind <= 3) {
            bytes memory data = abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(secret)));
            plan.callData = _pick(seed, 23, 2) == 0 ? data : _execute(address(0), 0, data);
            if (!_active[account][secret]) plan.added = secret;
            name = plan.added == 0 ? "nothing" : "passkey added";
        } else if (kind == 4) {
            plan.callData = abi.encodeCall(IMasterAccount.removePasskey, (Passkeys.credIdHash(secret)));
            if (_active[account][secret] && _passkeys[account] > 1) plan.removed = secret;
            bool first = account == _accounts[0] ? secret == 1 : secret == 2;
            name =
                plan.removed == 0
                    ? "nothing"
                    : first
                        ? "first passkey removed"
                        : "passkey removed";
        } else if (kind == 5) {
            // all of them, one after the other: the last refuses, which undoes the others
            plan.callData = _removeAll(account);
            name = "last passkey kept";
        } else if (kind == 6) {
            // paid by the EntryPoint: the sink does not hear of the account
            plan.callData = _execute(
                address(entryPoint),
                0,
                abi.encodeCall(entryPoint.withdrawTo, (payable(address(_sink)), value))
            );
            name = "deposit withdrawn";
        } else {
            plan.calls = 1;
            bytes[] memory attempts = _attempts(seed, account);
            plan.callData = _execute(address(_sink), 0, abi.encodeCall(Sink.reenter, (attempts)));
            name = "reentrance tried";
        }
    }

    function _happened(address account, Plan memory plan) private {
        _calls[account] += plan.calls;
        _paid[account] += plan.paid;
        if (plan.added != 0) (_active[account][plan.added], _passkeys[account]) = (true, _passkeys[account] + 1);
        if (plan.removed != 0) (_active[account][plan.removed], _passkeys[account]) = (false, _passkeys[account] - 1);
        ++_nonces[account];
        _deposits[account] = entryPoint.balanceOf(account);
    }

    /// @dev Everything that changes an account, and a validation with a good assertion over a hash.
    function _attempts(uint256 seed, address account) private view returns (bytes[] memory all) {
        all = new bytes[](4);
        all[0] = _execute(address(_sink), 1, "");
        all[1] = abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(1 + _pick(seed, 30, PASSKEYS))));
        all[2] = abi.encodeCall(IMasterAccount.removePasskey, (Passkeys.credIdHash(1 + _pick(seed, 31, PASSKEYS))));
        PackedUserOperation memory op = _operation(account, 0, "");
        op.signature = Passkeys.sign(_anActive(seed, account), bytes32(seed), Passkeys.Flaw.NONE);
        all[3] = abi.encodeWithSelector(0x19822f7c, op, bytes32(seed), 1 ether); // validateUserOp
    }

    function _removeAll(address account) private view returns (bytes memory) {
        Call[] memory calls = new Call[](_passkeys[account]);
        uint256 found = 0;
        for (uint256 secret = 1; secret <= PASSKEYS; ++secret) {
            if (!_active[account][secret]) continue;
            bytes memory data = abi.encodeCall(IMasterAccount.removePasskey, (Passkeys.credIdHash(secret)));
            calls[found++] = Call(account, 0, data);
        }
        return abi.encodeCall(IMasterAccount.execute, (BATCH, abi.encode(calls)));
    }

    function _batch(Call memory first, Call memory second) private pure returns (bytes memory) {
        Call[] memory calls = new Call[](2);
        (calls[0], calls[1]) = (first, second);
        return abi.encodeCall(IMasterAccount.execute, (BATCH, abi.encode(calls)));
    }

    function _execute(address to, uint256 value, bytes memory data) private pure returns (bytes memory) {
        return abi.encodeCall(IMasterAccount.execute, (0, abi.encodePacked(to, value, data)));
    }

    // -------------------------------------------------------------------------------------------------------- helpers

    function _signed(
        PackedUserOperation memory op,
        uint256 secret,
        Passkeys.Flaw flaw
    ) private view returns (PackedUserOperation memory) {
        op.signature = Passkeys.sign(secret, entryPoint.getUserOpHash(op), flaw);
        return op;
    }

    function _account(uint256 seed) private view returns (address) {
        return _accounts[_pick(seed, 10, ACCOUNTS)];
    }

    /// @dev Mostly a passkey of the account, sometimes any.
    function _signer(uint256 seed, address account) private view returns (uint256) {
        return _pick(seed, 11, 4) == 0 ? 1 + _pick(seed, 12, PASSKEYS) : _anActive(seed, account);
    }

    function _anActive(uint256 seed, address account) private view returns (uint256 secret) {
        for (uint256 i = 0; i < PASSKEYS; ++i) {
            secret = 1 + ((_word(seed, 13) + i) % PASSKEYS);
            if (_active[account][secret]) break;
        }
    }

    /// @dev An address without code: nothing may come of it.
    function _sessionValidator() internal pure returns (address) {
        return address(0x5e5510);
    }
}
