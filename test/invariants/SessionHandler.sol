// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { IMasterAccount, IMasterAccountFactory } from "../../contracts/interfaces/IMasterAccount.sol";
import { ISessionKeyValidator } from "../../contracts/interfaces/ISessionKeyValidator.sol";
import { SessionModel } from "./SessionModel.sol";
import { Artifacts } from "./support/Artifacts.sol";
import { RecoveryDouble, TokenDouble } from "./support/Doubles.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { vm } from "./support/Vm.sol";

/// @title Two accounts, three agents' keys, sessions that are granted, used, overused and revoked in any order
/// @notice Every operation goes through the real EntryPoint, and whether it is taken must be what the model decides.
abstract contract SessionHandler is SessionModel {
    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    uint256 public constant ACCOUNTS = 2;
    uint256 public constant KEYS = 3;
    uint256 internal constant BALANCE = 1_000_000 ether;
    bytes4 private constant EXECUTE = IMasterAccount.execute.selector;

    ISessionKeyValidator internal immutable _validator;
    RecoveryDouble internal immutable _recovery = new RecoveryDouble();
    address[ACCOUNTS] internal _accounts;

    constructor() {
        vm.warp(1_000_000_000);
        _validator = ISessionKeyValidator(
            Artifacts.deploy("session/SessionKeyValidator", abi.encode(entryPoint, _recovery, new address[](0)))
        );
        IMasterAccountFactory factory = IMasterAccountFactory(
            Artifacts.deploy(
                "account/MasterAccountFactory",
                abi.encode(entryPoint, address(0x100), _validator, _recovery)
            )
        );
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _accounts[i] = factory.createAccount(Passkeys.passkey(i + 1), 0);
            (bool ok, ) = _accounts[i].call{ value: BALANCE }("");
            require(ok, "not funded");
            entryPoint.depositTo{ value: BALANCE }(_accounts[i]);
            _token.mint(_accounts[i], BALANCE);
        }
    }

    function acts() external pure override returns (bytes4[] memory all) {
        all = new bytes4[](9);
        all[0] = this.grant.selector;
        all[1] = this.operate.selector;
        all[2] = this.operate.selector;
        all[3] = this.operateTwice.selector;
        all[4] = this.forge.selector;
        all[5] = this.revoke.selector;
        all[6] = this.revokeMany.selector;
        all[7] = this.pending.selector;
        all[8] = this.warp.selector;
    }

    function counted() external pure override returns (string[] memory all) {
        all = new string[](9);
        all[0] = "granted";
        all[1] = "operation taken";
        all[2] = "operation refused";
        all[3] = "value spent";
        all[4] = "tokens spent";
        all[5] = "execution failed";
        all[6] = "bundle of two taken";
        all[7] = "revoked";
        all[8] = "revoked many";
    }

    // --------------------------------------------------------------------------------------------------------- grants

    function grant(uint256 seed) external {
        (address account, uint256 key) = _whose(seed);
        Terms memory t;
        t.granted = true;
        t.validAfter = uint32(block.timestamp - 1 + _pick(seed, 3, 2) * _pick(seed, 4, 2 hours));
        t.validUntil = uint32(block.timestamp + 1 + _pick(seed, 5, 8 days)); // beyond seven days is refused
        t.windowSeconds = uint24(3600 * (1 + _pick(seed, 6, 30)));
        t.callsPerWindow = uint16(_pick(seed, 7, 12)); // none is refused
        t.gasPerOperation = uint32(900_000 + _pick(seed, 8, 1_000_000));
        t.gasTotal = uint40(_pick(seed, 9, 12_000_000));
        t.noteAtMost = _pick(seed, 10, 100);
        t.tokenTotal = _pick(seed, 11, 4) * 100;
        for (uint256 i = 0; i < RULES; ++i) {
            t.rules[i] = _pick(seed, 12 + i, 4) > 0;
            t.valuePerCall[i] = uint80(_pick(seed, 16 + i, 150));
            t.valueTotal[i] = uint80(_pick(seed, 20 + i, 400));
        }
        bytes memory data = abi.encodeCall(_validator.grant, (_session(t, vm.addr(key), _actor(_pick(seed, 24, 2)))));
        if (!_callAs(account, address(_validator), data)) return;
        _mustNot(_recovery.isPending(account), "a session was granted during a recovery");
        _mustNot(t.validUntil > block.timestamp + 7 days || t.callsPerWindow == 0, "a session without bounds");
        _terms[account][key] = t;
        delete _used[account][key];
        _actors[account][key] = _pick(seed, 24, 2);
        _count("granted");
    }

    function revoke(uint256 seed) external {
        (address account, uint256 key) = _whose(seed);
        if (!_callAs(account, address(_validator), abi.encodeCall(_validator.revoke, (vm.addr(key))))) return;
        _terms[account][key].revoked = true;
        _count("revoked");
    }

    /// @notice All of an actor, or all.
    function revokeMany(uint256 seed) external {
        if (_pick(seed, 3, 2) == 0) return;
        (address account, ) = _whose(seed);
        uint256 actor = _pick(seed, 4, 3); // 2: all
        bytes memory data =
            actor == 2
                ? abi.encodeCall(_validator.revokeAll, ())
                : abi.encodeCall(_validator.revokeActor, (_actor(actor)));
        _mustNot(!_callAs(account, address(_validator), data), "revoking was refused");
        for (uint256 key = 1; key <= KEYS; ++key) {
            if (actor != 2 && _actors[account][key] != actor) continue;
            if (block.timestamp < _terms[account][key].validUntil || actor == 2) _terms[account][key].revoked = true;
        }
        _count("revoked many");
    }

    function pending(uint256 seed) external {
        _recovery.set(_accounts[_pick(seed, 1, ACCOUNTS)], _pick(seed, 2, 3) == 0);
    }

    // ----------------------------------------------------------------------------------------------------- operations

    /// @notice One operation of a key, with calls and amounts around its limits.
    function operate(uint256 seed) external {
        (address account, uint256 key) = _whose(seed);
        Wish[] memory wishes = _wishes(seed);
        uint256 window = _window(seed, _terms[account][key]);
        PackedUserOperation memory op = _operationOf(seed, account, wishes, window);
        (bool ok, Used memory u) = _decide(_terms[account][key], _used[account][key], wishes, window, _gasOf(op));
        uint256 sentBefore = _token.sent(account);
        bool taken = _handle(_signed(op, account, key));
        _mustNot(taken && !ok, "a session did what it may not, or more than it may");
        _mustNot(!taken && ok, "a session was refused what it may");
        if (!taken) return _count("operation refused");
        _happened(account, key, u, op);
        _count("operation taken");
        if (u.tokens > 0) _count("tokens spent");
        if (wishes.length > 0 && wishes[0].value > 0) _count("value spent");
        if (wishes[0].rule == TRANSFER && _token.isRefused(wishes[0].word)) {
            _mustNot(_token.sent(account) != sentBefore, "a failed execution moved tokens");
            _count("execution failed");
        }
    }

    /// @notice Two operations of one key in one bundle: the second is judged after the first was counted.
    function operateTwice(uint256 seed) external {
        (address account, uint256 key) = _whose(seed);
        PackedUserOperation[] memory ops = new PackedUserOperation[](2);
        Used memory u = _used[account][key];
        bool ok = true;
        for (uint256 i = 0; i < 2; ++i) {
            Wish[] memory wishes = _wishes(_word(seed, 50 + i * _pick(seed, 52, 2))); // half the time the same twice
            uint256 window = _window(seed, _terms[account][key]);
            PackedUserOperation memory op = _operationOf(seed, account, wishes, window);
            op.nonce += i;
            bool each;
            (each, u) = _decide(_terms[account][key], u, wishes, window, _gasOf(op));
            ok = ok && each;
            ops[i] = _signed(op, account, key);
        }
        bool taken = _handle(ops);
        _mustNot(taken && !ok, "a bundle did more than its session may");
        _mustNot(!taken && ok, "a bundle was refused what its session may");
        if (!taken) return;
        _happened(account, key, u, ops[0]);
        _gasSpent[account] += _gasOf(ops[1]);
        _count("bundle of two taken");
    }

    /// @notice What the session may do, in a form that is not the one, or signed by somebody else.
    function forge(uint256 seed) external {
        (address account, uint256 key) = _whose(seed);
        Wish[] memory wishes = _wishes(seed);
        uint256 window = _window(seed, _terms[account][key]);
        PackedUserOperation memory op = _operationOf(seed, account, wishes, window);
        uint256 flaw = _pick(seed, 60, 7);
        if (flaw == 0) op.callData = bytes.concat(op.callData, new bytes(32));
        if (flaw == 1) op.callData[4 + 1] = 0x01; // the mode's second byte
        if (flaw == 2) op.callData[4 + 31 + 32] = 0x60; // where the execution data begin
        if (flaw == 3) op.nonce = entryPoint.getNonce(account, uint192(uint160(address(_validator))) + (1 << 160));
        if (flaw == 3) op.nonce |= (uint256(uint160(address(_validator))) + (1 << 160)) << 64;
        op = _signed(op, account, flaw == 4 ? 1 + (key % KEYS) : key);
        if (flaw == 4) for (uint256 i = 0; i < 20; ++i) op.signature[21 + i] = bytes20(vm.addr(key))[i];
        if (flaw == 5) op.signature[0] = 0x07;
        if (flaw == 6) op.sender = _accounts[account == _accounts[0] ? 1 : 0];
        _mustNot(_handle(op), "a forged operation of a session was taken");
    }

    // -------------------------------------------------------------------------------------------------------- helpers

    mapping(address account => mapping(uint256 key => uint256)) private _actors;

    function _actor(uint256 number) private pure returns (bytes32) {
        return sha256(abi.encode(number));
    }

    function _whose(uint256 seed) private view returns (address account, uint256 key) {
        account = _accounts[_pick(seed, 1, ACCOUNTS)];
        key = 1 + _pick(seed, 2, KEYS);
        // mostly one that has a session
        for (uint256 i = 0; i < KEYS && !_isLive(_terms[account][key]) && _pick(seed, 0, 4) > 0; ++i)
            key = 1 + (key % KEYS);
    }

    function _wishes(uint256 seed) private view returns (Wish[] memory wishes) {
        wishes = new Wish[](_pick(seed, 30, 3) > 0 ? 1 : 1 + _pick(seed, 31, 4));
        bool onlyRules = _pick(seed, 32, 5) > 0;
        for (uint256 i = 0; i < wishes.length; ++i) {
            uint256 word = _word(seed, 40 + i);
            wishes[i] = _wish(word, onlyRules ? word % RULES : word % (RULES + 7));
        }
    }

    function _wish(uint256 word, uint256 kind) private view returns (Wish memory w) {
        w.rule = kind < RULES ? kind : RULES;
        w.value = kind == TRANSFER || kind == APPROVE || _pick(word, 1, 2) == 0 ? 0 : _pick(word, 2, 100);
        w.word = _pick(word, 3, 120);
        bytes4 selector;
        if (kind < RULES) {
            (w.to, selector) = _functionOf(kind);
            if (kind == NOTE) w.data = abi.encodeWithSelector(selector, w.word);
            if (kind >= TRANSFER) w.data = abi.encodeWithSelector(selector, address(0x70), w.word);
            return w;
        }
        // what no session can be granted, or was not
        w.to = address(_sink);
        if (kind == RULES) w.data = hex"000000"; // too short for a selector
        if (kind == RULES + 1) w.data = abi.encodeWithSignature("other(uint256)", 1);
        if (kind == RULES + 2) (w.to, w.data) = (address(0), _addPasskey()); // the account by its other name
        if (kind == RULES + 3) w.data = hex"00000000";
        if (kind == RULES + 4) (w.to, w.data) = (address(_validator), abi.encodeCall(_validator.revokeAll, ()));
        if (kind == RULES + 5) {
            w.to = address(entryPoint);
            w.data = abi.encodeCall(entryPoint.withdrawTo, (payable(address(_sink)), 1));
        }
        if (kind == RULES + 6) {
            w.to = address(_token);
            w.data = abi.encodeWithSignature("transferFrom(address,address,uint256)", _accounts[0], address(0x70), 1);
        }
    }

    function _addPasskey() private pure returns (bytes memory) {
        return abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(9)));
    }

    /// @dev Mostly the window of now.
    function _window(uint256 seed, Terms memory t) private view returns (uint256) {
        if (t.windowSeconds == 0) return 0;
        uint256 now_ = block.timestamp / t.windowSeconds;
        uint256 kind = _pick(seed, 33, 10);
        return
            kind == 0
                ? now_ - 1
                : kind == 1
                    ? now_ + 1
                    : now_;
    }

    function _operationOf(
        uint256 seed,
        address account,
        Wish[] memory wishes,
        uint256 window
    ) private view returns (PackedUserOperation memory op) {
        op = _operation(
            account,
            uint192(uint160(address(_validator))),
            _callData(wishes, window, _pick(seed, 34, 2) == 0)
        );
        // sometimes too dear for any session
        if (_pick(seed, 35, 10) == 0) op.preVerificationGas += 2_000_000;
    }

    function _callData(Wish[] memory wishes, uint256 window, bool single) private pure returns (bytes memory) {
        if (wishes.length == 1 && single) {
            return
                abi.encodeWithSelector(
                    EXECUTE,
                    window,
                    abi.encodePacked(wishes[0].to, wishes[0].value, wishes[0].data)
                );
        }
        Call[] memory calls = new Call[](wishes.length);
        for (uint256 i = 0; i < calls.length; ++i) calls[i] = Call(wishes[i].to, wishes[i].value, wishes[i].data);
        return abi.encodeWithSelector(EXECUTE, (uint256(1) << 248) | window, abi.encode(calls));
    }

    function _signed(
        PackedUserOperation memory op,
        address account,
        uint256 key
    ) private view returns (PackedUserOperation memory) {
        bytes32 hash = entryPoint.getUserOpHash(op);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            key,
            keccak256(bytes.concat("\x19Ethereum Signed Message:\n32", hash))
        );
        op.signature = abi.encodePacked(bytes1(0x08), account, vm.addr(key), r, s, v);
        return op;
    }

    /// @dev Gwei, rounded up.
    function _gasOf(PackedUserOperation memory op) private pure returns (uint256) {
        uint256 gas =
            op.preVerificationGas + (uint256(op.accountGasLimits) >> 128) + uint128(uint256(op.accountGasLimits));
        return (gas * GAS_PRICE + 1 gwei - 1) / 1 gwei;
    }

    function _happened(address account, uint256 key, Used memory u, PackedUserOperation memory op) private {
        Used memory before = _used[account][key];
        for (uint256 i = 0; i < RULES; ++i) _valueSpent[account] += u.values[i] - before.values[i];
        _tokensSpent[account] += u.tokens - before.tokens;
        _gasSpent[account] += _gasOf(op);
        _used[account][key] = u;
    }
}
