// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import { GuardianSignature, IAccountRecovery } from "../../contracts/interfaces/IAccountRecovery.sol";
import { IMasterAccount, IMasterAccountFactory, Passkey } from "../../contracts/interfaces/IMasterAccount.sol";
import { ISessionKeyValidator } from "../../contracts/interfaces/ISessionKeyValidator.sol";
import { ISidecarRegistry } from "../../contracts/interfaces/ISidecarRegistry.sol";
import { Artifacts } from "./support/Artifacts.sol";
import { EntryPointHandler } from "./support/EntryPoints.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { Sink } from "./support/Sink.sol";
import { vm } from "./support/Vm.sol";

/// @title One account with guardians, its operator and a session, and what is true of them, written down a second time
/// @notice The account's passkeys act through the real EntryPoint only; an operation that did what it was for, and no
/// other, also calls the sink.
abstract contract RecoveryModel is EntryPointHandler {
    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    uint256 internal constant SECRETS = 6; // passkeys that there are in all
    uint256 internal constant CONFIGURATIONS = 5; // 0: off
    uint256 internal constant CHANGES = CONFIGURATIONS + SECRETS + 1; // configurations, then the removal of each secret
    bytes32 private constant BATCH = bytes32(uint256(1) << 248);
    uint256 private constant GUARDIAN = 100; // their private keys begin above
    address internal constant HEIR = address(0x4e14);

    Sink internal immutable _sink = new Sink();
    ISidecarRegistry internal immutable _registry;
    IAccountRecovery internal immutable _recovery;
    ISessionKeyValidator internal immutable _validator;
    address internal immutable _account;
    bytes32 internal immutable _omni;

    mapping(uint256 secret => bool) internal _active;
    uint256 internal _passkeys;
    uint256 internal _calls; // of the sink

    uint256 internal _configuration;
    uint64 internal _nonce;
    uint256 internal _notBefore; // 0: no recovery is pending
    uint256 internal _next; // set of passkeys of the pending recovery
    uint256 internal _cancellableAt;
    mapping(uint256 change => uint256) internal _ready; // 0: not scheduled

    bool internal _isMaster = true;
    uint256 internal _acceptableAt; // 0: no transfer is announced
    uint256 internal _sessionUntil; // 0: no session
    uint256 internal _sessionNonce;

    constructor(uint256 configuration) {
        vm.warp(1_000_000_000);
        _registry = ISidecarRegistry(Artifacts.deploy("registry/SidecarRegistry", ""));
        _recovery = IAccountRecovery(Artifacts.deploy("recovery/AccountRecovery", abi.encode(_registry)));
        address[] memory own = new address[](1);
        own[0] = address(_registry);
        _validator = ISessionKeyValidator(
            Artifacts.deploy("session/SessionKeyValidator", abi.encode(entryPoint, _recovery, own))
        );
        IMasterAccountFactory factory = IMasterAccountFactory(
            Artifacts.deploy(
                "account/MasterAccountFactory",
                abi.encode(entryPoint, address(0x100), _validator, _recovery)
            )
        );
        _account = factory.createAccount(Passkeys.passkey(1), 0);
        entryPoint.depositTo{ value: 1000 ether }(_account);
        _callAs(_account, _account, abi.encodeCall(IMasterAccount.addPasskey, (Passkeys.passkey(2))));
        (_active[1], _active[2], _passkeys) = (true, true, 2);
        vm.prank(_account);
        _omni = _registry.registerOperator();
        if (configuration == 0) return;
        _configured(configuration);
        (bytes[] memory guardians, uint8 threshold, uint32 delay) = _termsOf(configuration);
        vm.prank(_account);
        _recovery.configure(guardians, threshold, delay);
    }

    // ------------------------------------------------------------------------------------------------- configurations

    /// @return guardians Keys, the first `first` of five left out.
    function _termsOf(
        uint256 configuration
    ) internal pure returns (bytes[] memory guardians, uint8 threshold, uint32 delay) {
        uint256 first = configuration == 3 ? 3 : 0;
        uint256 last = [uint256(0), 3, 3, 5, 5][configuration];
        threshold = uint8([uint256(0), 2, 3, 2, 3][configuration]);
        delay = uint32([uint256(0), 1 days, 2 days, 14 days, 25 hours][configuration]);
        guardians = new bytes[](last - first);
        for (uint256 i = first; i < last; ++i) guardians[i - first] = abi.encodePacked(vm.addr(GUARDIAN + i));
    }

    function _delay() internal view returns (uint256 delay) {
        (, , delay) = _termsOf(_configuration);
    }

    function _isPending() internal view returns (bool) {
        return _notBefore != 0;
    }

    function _configured(uint256 configuration) internal {
        _configuration = configuration;
        _nonceUsed();
    }

    /// @dev What was signed or scheduled so far is void.
    function _nonceUsed() internal {
        ++_nonce;
        for (uint256 change = 0; change < CHANGES; ++change) delete _ready[change];
    }

    /// @dev {IAccountRecovery.configurationId} or {IAccountRecovery.removalId}.
    function _idOf(uint256 change) internal pure returns (bytes32) {
        if (change >= CONFIGURATIONS) return keccak256(abi.encode(Passkeys.credIdHash(change - CONFIGURATIONS)));
        (bytes[] memory guardians, uint8 threshold, uint32 delay) = _termsOf(change);
        return keccak256(abi.encode(guardians, threshold, delay));
    }

    // -------------------------------------------------------------------------------------------------------- consents

    /// @notice How consents can fall short.
    enum Lack {
        NONE,
        ONE, // a guardian too few
        FOREIGN, // the last one is a stranger's
        REPEATED // the last one is the one before once more
    }

    /// @dev Signatures of as many guardians as it takes, from a random one on.
    function _consents(
        uint256 seed,
        bytes32 digest,
        Lack lack
    ) internal view returns (GuardianSignature[] memory signatures) {
        (bytes[] memory guardians, uint8 threshold, ) = _termsOf(_configuration);
        uint256 count = lack == Lack.ONE ? threshold - 1 : threshold;
        uint256 first = _pick(seed, 70, guardians.length - threshold + 1);
        uint256 keys = GUARDIAN + (_configuration == 3 ? 3 : 0);
        signatures = new GuardianSignature[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = first + i;
            if (lack == Lack.REPEATED && i > 0 && i == count - 1) --index;
            bool foreign = lack == Lack.FOREIGN && i == count - 1;
            signatures[i] = GuardianSignature(index, _consent(foreign ? 666 : keys + index, digest));
        }
    }

    function _consent(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev A set of new passkeys: one secret, and a second one or none. Key: both digits.
    function _setOf(uint256 seed) internal pure returns (uint256) {
        uint256 first = 1 + _pick(seed, 71, SECRETS);
        return first * 10 + (_pick(seed, 72, 2) == 0 ? 0 : 1 + (first % SECRETS));
    }

    function _passkeysOf(uint256 set) internal pure returns (Passkey[] memory list) {
        list = new Passkey[](set % 10 == 0 ? 1 : 2);
        list[0] = Passkeys.passkey(set / 10);
        if (list.length == 2) list[1] = Passkeys.passkey(set % 10);
    }

    // ------------------------------------------------------------------------------------------------------ operations

    /// @dev An operation of a passkey, mostly one of the account; `may` is whether such a one achieves it.
    function _order(
        uint256 seed,
        address to,
        bytes memory data,
        bool may,
        string memory what
    ) internal returns (bool done) {
        uint256 secret = 1 + _pick(seed, 80, SECRETS);
        if (_pick(seed, 81, 8) > 0) while (!_active[secret]) secret = 1 + (secret % SECRETS);
        Call[] memory calls = new Call[](2);
        calls[0] = Call(to, 0, data);
        calls[1] = Call(address(_sink), 0, "");
        PackedUserOperation memory op = _operation(
            _account,
            0,
            abi.encodeCall(IMasterAccount.execute, (BATCH, abi.encode(calls)))
        );
        op.signature = Passkeys.sign(secret, entryPoint.getUserOpHash(op), Passkeys.Flaw.NONE);
        bool taken = _handle(op);
        _mustNot(taken && !_active[secret], "a passkey that is none moved the account");
        _mustNot(!taken && _active[secret], "a passkey was refused");
        done = _sink.calls(_account) > _calls;
        if (done) ++_calls;
        _mustNot(done && !may, what);
        _mustNot(taken && !done && may, string.concat("refused, but not: ", what));
    }
}
