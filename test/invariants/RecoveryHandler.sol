// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { IMasterAccount, Passkey } from "../../contracts/interfaces/IMasterAccount.sol";
import { Predicate, Rule, Session } from "../../contracts/interfaces/ISessionKeyValidator.sol";
import { RecoveryModel } from "./RecoveryModel.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { vm } from "./support/Vm.sol";

/// @title Passkeys that may be stolen, guardians, their consents of now and before, an heir, a session and strangers
/// @notice A thief and the owner are the same to the contracts: every act of a passkey is open to each of them.
abstract contract RecoveryHandler is RecoveryModel {
    /// @notice What a consent is for.
    enum Kind {
        START,
        CANCEL,
        CANCEL_CHANGE
    }

    /// @dev A consent that was signed, sent or not. Everything in it is public: it can be sent at any time, and again.
    struct Consent {
        Kind kind;
        bytes data;
        uint64 nonce; // the current one when it was signed
        uint256 when; // notBefore, or the change's ready time
        uint256 what; // set of passkeys, or the change
    }

    uint256 private constant SESSION_KEY = 7001;
    uint256 private constant HOUR = 3600;

    Consent[] private _signed;

    constructor(uint256 configuration) RecoveryModel(configuration) {}

    /// @notice All that one passkey can try, and what anybody can: without a consent that was not sent yet.
    function hostileActs() public pure returns (bytes4[] memory all) {
        all = new bytes4[](19);
        all[0] = this.add.selector;
        all[1] = this.remove.selector;
        all[2] = this.configure.selector;
        all[3] = this.scheduleConfiguration.selector;
        all[4] = this.scheduleConfiguration.selector;
        all[5] = this.scheduleRemoval.selector;
        all[6] = this.scheduleRemoval.selector;
        all[7] = this.executeChange.selector;
        all[8] = this.executeChange.selector;
        all[9] = this.cancelChange.selector;
        all[10] = this.cancel.selector;
        all[11] = this.cancel.selector;
        all[12] = this.grant.selector;
        all[13] = this.useSession.selector;
        all[14] = this.announceTransfer.selector;
        all[15] = this.acceptTransfer.selector;
        all[16] = this.sendAgain.selector;
        all[17] = this.lackConsents.selector;
        all[18] = this.intrude.selector;
    }

    function acts() external pure override returns (bytes4[] memory all) {
        bytes4[] memory hostile = hostileActs();
        all = new bytes4[](hostile.length + 11);
        for (uint256 i = 0; i < hostile.length; ++i) all[i] = hostile[i];
        all[hostile.length] = this.withdrawTransfer.selector;
        all[hostile.length + 1] = this.sign.selector;
        all[hostile.length + 2] = this.start.selector;
        all[hostile.length + 3] = this.start.selector;
        all[hostile.length + 4] = this.finish.selector;
        all[hostile.length + 5] = this.finish.selector;
        all[hostile.length + 6] = this.cancelByGuardians.selector;
        all[hostile.length + 7] = this.cancelChangeByGuardians.selector;
        all[hostile.length + 8] = this.waitFor.selector;
        all[hostile.length + 9] = this.waitFor.selector;
        all[hostile.length + 10] = this.warp.selector;
    }

    function counted() external pure override returns (string[] memory all) {
        all = new string[](17);
        all[0] = "added";
        all[1] = "removed at once";
        all[2] = "removed after the delay";
        all[3] = "configured";
        all[4] = "configured after the delay";
        all[5] = "switched off";
        all[6] = "change cancelled";
        all[7] = "change cancelled by guardians";
        all[8] = "started";
        all[9] = "started with a consent kept back";
        all[10] = "cancelled";
        all[11] = "cancelled by guardians";
        all[12] = "finished";
        all[13] = "finished with a session";
        all[14] = "session used";
        all[15] = "transfer ended by a start";
        all[16] = "transferred";
    }

    // ------------------------------------------------------------------------------------------------------- passkeys

    function add(uint256 seed) external {
        uint256 secret = 1 + _pick(seed, 1, SECRETS);
        bytes memory data = abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(secret)));
        if (!_order(seed, _account, data, !_active[secret], "a passkey was added twice")) return;
        (_active[secret], _passkeys) = (true, _passkeys + 1);
        _count("added");
    }

    /// @notice At once: only where there are no guardians.
    function remove(uint256 seed) external {
        uint256 secret = 1 + _pick(seed, 1, SECRETS);
        bytes memory data = abi.encodeCall(IMasterAccount.removePasskey, (Passkeys.credIdHash(secret)));
        bool may = _configuration == 0 && _active[secret] && _passkeys > 1;
        if (!_order(seed, _account, data, may, "a passkey was ended at once, or the last one")) return;
        (_active[secret], _passkeys) = (false, _passkeys - 1);
        _count("removed at once");
    }

    // -------------------------------------------------------------------------------------------------------- changes

    function configure(uint256 seed) public {
        uint256 to = _pick(seed, 1, CONFIGURATIONS);
        (bytes[] memory guardians, uint8 threshold, uint32 delay) = _termsOf(to);
        bytes memory data = abi.encodeCall(_recovery.configure, (guardians, threshold, delay));
        bool may = _configuration == 0 && to != 0;
        if (!_order(seed, address(_recovery), data, may, "guardians were changed at once")) return;
        _configured(to);
        _count("configured");
    }

    function scheduleConfiguration(uint256 seed) external {
        uint256 to = _pick(seed, 1, CONFIGURATIONS);
        (bytes[] memory guardians, uint8 threshold, uint32 delay) = _termsOf(to);
        _schedule(seed, to, abi.encodeCall(_recovery.scheduleConfiguration, (guardians, threshold, delay)));
    }

    function scheduleRemoval(uint256 seed) external {
        uint256 secret = 1 + _pick(seed, 1, SECRETS);
        bytes memory data = abi.encodeCall(_recovery.scheduleRemoval, (Passkeys.credIdHash(secret)));
        _schedule(seed, CONFIGURATIONS + secret, data);
    }

    /// @notice One that is scheduled, ripe or not; where there is none, any.
    function executeChange(uint256 seed) external {
        uint256 change = _aChange(seed);
        bool may = !_isPending() && _ready[change] != 0 && block.timestamp >= _ready[change];
        string memory what = "a change took effect early, during a recovery, or after a start";
        if (change < CONFIGURATIONS) {
            (bytes[] memory guardians, uint8 threshold, uint32 delay) = _termsOf(change);
            bytes memory data = abi.encodeCall(_recovery.executeConfiguration, (guardians, threshold, delay));
            if (!_order(seed, address(_recovery), data, may, what)) return;
            _configured(change);
            return _count(change == 0 ? "switched off" : "configured after the delay");
        }
        uint256 secret = change - CONFIGURATIONS;
        bytes memory removal = abi.encodeCall(_recovery.executeRemoval, (Passkeys.credIdHash(secret)));
        may = may && _active[secret] && _passkeys > 1;
        if (!_order(seed, address(_recovery), removal, may, what)) return;
        delete _ready[change];
        (_active[secret], _passkeys) = (false, _passkeys - 1);
        _count("removed after the delay");
    }

    function cancelChange(uint256 seed) external {
        uint256 change = _aChange(seed);
        bytes memory data = abi.encodeCall(_recovery.cancelChange, (_idOf(change)));
        if (!_order(seed, address(_recovery), data, _ready[change] != 0, "a change was cancelled that is none")) return;
        delete _ready[change];
        _count("change cancelled");
    }

    function cancelChangeByGuardians(uint256 seed) external {
        uint256 change = _aChange(seed);
        if (_configuration == 0) return;
        _send(_consent(seed, Kind.CANCEL_CHANGE, _ready[change], change, Lack.NONE), Lack.NONE);
    }

    // -------------------------------------------------------------------------------------------------------- recovery

    /// @notice By enough guardians, with a time that is right or around its bounds; without guardians they are named first.
    function start(uint256 seed) external {
        if (_configuration == 0) return configure(seed);
        uint256[5] memory more = [uint256(0), 0, _pick(seed, 3, 7 days), 7 days, 7 days + 1];
        uint256 when = block.timestamp + _delay() + more[_pick(seed, 2, 5)] - (_pick(seed, 4, 8) == 0 ? 1 : 0);
        _send(_consent(seed, Kind.START, when, _setOf(seed), Lack.NONE), Lack.NONE);
    }

    /// @notice Guardians give the account to this set of passkeys as soon as they may.
    /// @return Whether that started.
    function startFor(uint256 seed, uint256 set) external returns (bool) {
        return _send(_consent(seed, Kind.START, block.timestamp + _delay(), set, Lack.NONE), Lack.NONE);
    }

    /// @notice Enough guardians sign, for later, and keep it back.
    function sign(uint256 seed) external {
        if (_configuration == 0) return;
        uint256 when = block.timestamp + _delay() + _pick(seed, 3, 9 days);
        if (_pick(seed, 2, 3) > 0) _consent(seed, Kind.START, when, _setOf(seed), Lack.NONE);
        else _consent(seed, Kind.CANCEL, 0, 0, Lack.NONE);
    }

    /// @notice A consent of before, sent or kept back, by anybody.
    function sendAgain(uint256 seed) external {
        if (_signed.length == 0) return;
        // mostly one of the last
        uint256 back = _pick(seed, 1, _pick(seed, 2, 3) == 0 ? _signed.length : 1 + (_signed.length - 1) / 4);
        Consent memory consent = _signed[_signed.length - 1 - back];
        if (_send(consent, Lack.NONE) && consent.kind == Kind.START) _count("started with a consent kept back");
    }

    /// @notice Fewer guardians than it takes, for each kind.
    function lackConsents(uint256 seed) external {
        if (_configuration == 0) return configure(seed);
        Lack lack = Lack(1 + _pick(seed, 1, 3));
        uint256 change = _aChange(seed);
        _send(_consent(seed, Kind.START, block.timestamp + _delay(), _setOf(seed), lack), lack);
        _send(_consent(seed, Kind.CANCEL, 0, 0, lack), lack);
        _send(_consent(seed, Kind.CANCEL_CHANGE, _ready[change], change, lack), lack);
    }

    function cancelByGuardians(uint256 seed) external {
        if (_configuration != 0) _send(_consent(seed, Kind.CANCEL, 0, 0, Lack.NONE), Lack.NONE);
    }

    /// @notice By a passkey: once in 30 days.
    function cancel(uint256 seed) external {
        bool may = _isPending() && block.timestamp >= _cancellableAt;
        bytes memory data = abi.encodeCall(_recovery.cancel, ());
        if (!_order(seed, address(_recovery), data, may, "an account cancelled twice in 30 days")) return;
        (_notBefore, _cancellableAt) = (0, block.timestamp + 30 days);
        _count("cancelled");
    }

    /// @notice By anybody, mostly with the right passkeys.
    function finish(uint256 seed) external {
        uint256 set = _pick(seed, 1, 4) == 0 || _next == 0 ? _setOf(seed) : _next;
        bool may = _isPending() && block.timestamp >= _notBefore && set == _next;
        bytes memory data = abi.encodeCall(_recovery.finish, (_account, _passkeysOf(set)));
        if (!_callAs(address(uint160(seed)), address(_recovery), data)) {
            return _mustNot(may, "a recovery could not be finished");
        }
        _mustNot(!may, "a recovery was finished early, with other passkeys, or without a start");
        for (uint256 secret = 1; secret <= SECRETS; ++secret)
            _active[secret] = secret == set / 10 || secret == set % 10;
        _passkeys = set % 10 == 0 ? 1 : 2;
        if (block.timestamp < _sessionUntil) _count("finished with a session");
        (_notBefore, _cancellableAt, _sessionUntil) = (0, 0, 0);
        _count("finished");
    }

    // ------------------------------------------------------------------------------------------- operator and session

    function announceTransfer(uint256 seed) external {
        bytes memory data = abi.encodeCall(_registry.transferOperator, (HEIR));
        bool may = _isMaster && !_isPending();
        if (!_order(seed, address(_registry), data, may, "a transfer was announced during a recovery")) return;
        _acceptableAt = block.timestamp + 48 hours;
    }

    function withdrawTransfer(uint256 seed) external {
        bytes memory data = abi.encodeCall(_registry.cancelTransfer, ());
        bool may = _acceptableAt != 0;
        if (_order(seed, address(_registry), data, may, "no transfer was withdrawn")) _acceptableAt = 0;
    }

    function acceptTransfer(uint256) external {
        bool may = _acceptableAt != 0 && block.timestamp >= _acceptableAt && !_isPending();
        if (!_callAs(HEIR, address(_registry), abi.encodeCall(_registry.acceptOperator, (_omni)))) return;
        _mustNot(!may, "an operator was passed on early, during a recovery, or after a start");
        (_isMaster, _acceptableAt) = (false, 0);
        _count("transferred");
    }

    function grant(uint256 seed) external {
        Session memory s;
        (s.actorOmni, s.key) = (sha256("agent"), vm.addr(SESSION_KEY));
        (s.validAfter, s.validUntil) = (uint32(block.timestamp - 1), uint32(block.timestamp + 7 days));
        (s.windowSeconds, s.callsPerWindow) = (uint24(HOUR), 4095);
        (s.gasPerOperationGwei, s.gasTotalGwei) = (type(uint32).max, type(uint40).max);
        s.rules = new Rule[](1);
        s.rules[0].target = address(_sink);
        s.rules[0].predicates = new Predicate[](0);
        bytes memory data = abi.encodeCall(_validator.grant, (s));
        if (!_order(seed, address(_validator), data, !_isPending(), "a session was granted during a recovery")) return;
        _sessionUntil = s.validUntil;
    }

    /// @notice The session calls what it may, or what passkeys alone may.
    function useSession(uint256 seed) external {
        address[4] memory targets = [address(_sink), address(_recovery), address(_registry), _account];
        address to = targets[_pick(seed, 1, 2) * _pick(seed, 2, 4)];
        uint256 mode = block.timestamp / HOUR;
        bytes memory data = abi.encodeWithSelector(
            IMasterAccount.execute.selector,
            mode,
            abi.encodePacked(to, uint256(0), to == address(_sink) ? bytes("") : _attempt(seed))
        );
        PackedUserOperation memory op = _operation(_account, uint192(uint160(address(_validator))), data);
        bytes32 hash = entryPoint.getUserOpHash(op);
        hash = keccak256(bytes.concat("\x19Ethereum Signed Message:\n32", hash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SESSION_KEY, hash);
        op.signature = abi.encodePacked(bytes1(0x08), _account, vm.addr(SESSION_KEY), r, s, v);
        bool taken = _handle(op);
        bool live = block.timestamp < _sessionUntil && to == address(_sink);
        _mustNot(taken && !live, "a session went on after a recovery, or beyond its rules");
        // not at the edges, where the EntryPoint has its own view
        _mustNot(!taken && live && block.timestamp % HOUR > 0, "a session was refused what it may");
        if (!taken) return;
        ++_calls;
        _count("session used");
    }

    // ------------------------------------------------------------------------------------------- strangers and time

    /// @notice What the recovery contract alone may, or passkeys alone, tried by others: by a passkey too.
    function intrude(uint256 seed) external {
        address[4] memory callers = [address(0xbad), HEIR, BUNDLER, address(_validator)];
        _mustNot(_callAs(callers[_pick(seed, 1, 4)], _account, _attempt(seed)), "a stranger got into the account");
        Passkey memory passkey = Passkeys.passkey(1 + _pick(seed, 2, SECRETS));
        bytes memory data =
            _pick(seed, 3, 2) == 0
                ? abi.encodeCall(IMasterAccount.replacePasskeys, (passkey))
                : abi.encodeCall(IMasterAccount.cancelTransfer, (address(_registry)));
        _order(seed, _account, data, false, "an account did what only its recovery contract may");
    }

    /// @notice To the second in which something becomes possible, or the one before.
    function waitFor(uint256 seed) external {
        uint256[5] memory times = [_notBefore, _notBefore, _ready[_aChange(seed)], _cancellableAt, _acceptableAt];
        uint256 to = times[_pick(seed, 1, 5)];
        if (_pick(seed, 2, 3) == 0 && to > 0) --to;
        if (to > block.timestamp) vm.warp(to);
    }

    // --------------------------------------------------------------------------------------------------------- helpers

    function _attempt(uint256 seed) private pure returns (bytes memory) {
        uint256 kind = _pick(seed, 30, 5);
        uint256 secret = 1 + _pick(seed, 31, SECRETS);
        if (kind == 0) return abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(secret)));
        if (kind == 1) return abi.encodeCall(IMasterAccount.removePasskey, (Passkeys.credIdHash(secret)));
        if (kind == 2) return abi.encodeCall(IMasterAccount.replacePasskeys, (Passkeys.passkey(secret)));
        if (kind == 3) return abi.encodeWithSignature("cancel()");
        return abi.encodeCall(IMasterAccount.execute, (0, abi.encodePacked(address(0x70), uint256(0))));
    }

    function _schedule(uint256 seed, uint256 change, bytes memory data) private {
        bool may = _configuration != 0 && !_isPending() && _ready[change] == 0;
        if (!_order(seed, address(_recovery), data, may, "a change was scheduled during a recovery, or twice")) return;
        _ready[change] = block.timestamp + _delay();
    }

    /// @dev A scheduled one where there is one.
    function _aChange(uint256 seed) private view returns (uint256 change) {
        for (uint256 i = 0; i < CHANGES; ++i) {
            change = (_word(seed, 40) + i) % CHANGES;
            if (_ready[change] != 0) break;
        }
        if (change == CONFIGURATIONS) ++change; // there is no secret of 0
    }

    /// @dev Signed by guardians of now, and known to everybody from now on where nothing is wrong with it.
    function _consent(
        uint256 seed,
        Kind kind,
        uint256 when,
        uint256 what,
        Lack lack
    ) private returns (Consent memory consent) {
        consent = Consent(kind, "", _nonce, when, what);
        if (kind == Kind.START) {
            Passkey[] memory list = _passkeysOf(what);
            bytes32 digest = _recovery.recoverDigest(_account, keccak256(abi.encode(list)), _nonce, uint64(when));
            consent.data = abi.encodeCall(
                _recovery.start,
                (_account, list, uint64(when), _consents(seed, digest, lack))
            );
        } else if (kind == Kind.CANCEL) {
            bytes32 digest = _recovery.cancelRecoveryDigest(_account, _nonce - 1);
            consent.data = abi.encodeCall(_recovery.cancelByGuardians, (_account, _consents(seed, digest, lack)));
        } else {
            bytes32 digest = _recovery.cancelChangeDigest(_account, _idOf(what), uint64(when));
            consent.data = abi.encodeCall(
                _recovery.cancelChangeByGuardians,
                (_account, _idOf(what), _consents(seed, digest, lack))
            );
        }
        if (lack == Lack.NONE) _signed.push(consent);
    }

    function _send(Consent memory consent, Lack lack) private returns (bool done) {
        bool may = _counts(consent);
        done = _callAs(address(0x5e4d), address(_recovery), consent.data);
        _mustNot(done && lack != Lack.NONE, "fewer guardians than it takes were enough");
        _mustNot(done && !may, "a consent counted that was void, or out of time");
        _mustNot(!done && may && lack == Lack.NONE, "enough guardians were refused");
        if (!done) return false;
        if (consent.kind == Kind.START) {
            (_notBefore, _next) = (consent.when, consent.what);
            _nonceUsed();
            if (_acceptableAt != 0) _count("transfer ended by a start");
            _acceptableAt = 0;
            _count("started");
        } else if (consent.kind == Kind.CANCEL) {
            _notBefore = 0;
            _count("cancelled by guardians");
        } else {
            delete _ready[consent.what];
            _count("change cancelled by guardians");
        }
    }

    /// @dev Whether a consent is one over what is the case now.
    function _counts(Consent memory consent) private view returns (bool) {
        if (consent.kind == Kind.CANCEL_CHANGE) return consent.when != 0 && _ready[consent.what] == consent.when;
        if (_configuration == 0 || consent.nonce != _nonce) return false;
        if (consent.kind == Kind.CANCEL) return _isPending();
        uint256 earliest = block.timestamp + _delay();
        return !_isPending() && consent.when >= earliest && consent.when <= earliest + 7 days;
    }
}
