// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { GrantInput, IScopeRegistry } from "../../contracts/interfaces/IScopeRegistry.sol";
import { ISidecarRegistry } from "../../contracts/interfaces/ISidecarRegistry.sol";
import { Artifacts } from "./support/Artifacts.sol";
import { Handler } from "./support/Handler.sol";
import { vm } from "./support/Vm.sol";

/// @title Three accounts, sixteen device keys and two agent labels each, some of whom mean harm
/// @notice Tries every change of both registries, by the right caller and by wrong ones, and writes down by itself, from
/// what succeeded, who is what. {RegistryProperties} compares.
abstract contract RegistryHandler is Handler {
    struct Grant {
        uint8 ops;
        uint64 validUntil;
    }

    struct Transfer {
        address to;
        uint256 acceptableAt;
    }

    /// @dev What one registration tries; `signer` and `signedOmni` differ from what is honest in the hostile variants.
    struct Try {
        address caller;
        bytes32 operatorOmni;
        bytes32 actorOmni;
        uint256 key;
        uint8 roles;
        uint256 deadline;
        bool honest;
        bytes proof;
    }

    uint256 public constant ACCOUNTS = 3;
    uint256 public constant KEYS = 16;
    uint256 public constant LABELS = 2;
    uint256 public constant SCOPES = 3;

    ISidecarRegistry public immutable sidecars;
    IScopeRegistry public immutable scopes;

    // what is known without asking the contracts; a key is its hash, an operator and an agent their omni
    mapping(bytes32 omni => address) public master;
    mapping(bytes32 omni => bool) public frozen;
    mapping(bytes32 hash => bytes32) public operatorOf;
    mapping(bytes32 hash => bytes32) public actorOf;
    mapping(bytes32 hash => uint8) public rolesOf;
    mapping(bytes32 hash => bool) public ended;
    mapping(bytes32 agentOmni => bool) public live;
    mapping(bytes32 agentOmni => mapping(uint256 scope => Grant)) internal _grants;
    mapping(address account => bytes32) internal _omniOf;
    mapping(bytes32 omni => Transfer) private _transfers;

    // names, computed once
    address[KEYS] internal _keys;
    bytes32[KEYS] internal _hashes;
    bytes32[ACCOUNTS] internal _omnis;
    bytes32[LABELS][ACCOUNTS] internal _agents;

    constructor() {
        sidecars = ISidecarRegistry(Artifacts.deploy("registry/SidecarRegistry", ""));
        address epochs = Artifacts.deploy("registry/K3EpochCounter", abi.encode(address(this), bytes32(uint256(1))));
        scopes = IScopeRegistry(Artifacts.deploy("registry/ScopeRegistry", abi.encode(sidecars, epochs)));
        for (uint256 key = 0; key < KEYS; ++key) {
            _keys[key] = vm.addr(key + 1);
            _hashes[key] = keccak256(abi.encodePacked(_keys[key]));
        }
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _omnis[i] = _ownOmni(account(i));
            for (uint256 j = 0; j < LABELS; ++j) _agents[i][j] = _agent(_omnis[i], j);
        }
    }

    function acts() external pure override returns (bytes4[] memory all) {
        all = new bytes4[](17);
        all[0] = this.registerOperator.selector;
        all[1] = this.registerMasterDevice.selector;
        all[2] = this.registerAgentDevice.selector;
        all[3] = this.rotateDevice.selector;
        all[4] = this.revokeDevice.selector;
        all[5] = this.revokeActor.selector;
        all[6] = this.freeze.selector;
        all[7] = this.unfreeze.selector;
        all[8] = this.transfer.selector;
        all[9] = this.accept.selector;
        all[10] = this.setGrant.selector;
        all[11] = this.revokeGrant.selector;
        all[12] = this.revokeAllGrants.selector;
        all[13] = this.warp.selector;
        // again, because most others end what these make
        all[14] = this.registerAgentDevice.selector;
        all[15] = this.setGrant.selector;
        all[16] = this.setGrant.selector;
    }

    function counted() external pure override returns (string[] memory all) {
        all = new string[](13);
        all[0] = "registerOperator";
        all[1] = "registerMasterDevice";
        all[2] = "registerAgentDevice";
        all[3] = "rotateDevice";
        all[4] = "revokeDevice";
        all[5] = "revokeActor";
        all[6] = "freeze";
        all[7] = "unfreeze";
        all[8] = "accept";
        all[9] = "setGrant";
        all[10] = "revokeGrant";
        all[11] = "revokeAllGrants";
        all[12] = "agent starts again";
    }

    // ------------------------------------------------------------------------------------------------------ operators

    function registerOperator(uint256 seed) external {
        address caller = account(seed);
        if (!_callAs(caller, address(sidecars), abi.encodeCall(sidecars.registerOperator, ()))) return;
        bytes32 omni = ownOmni(caller);
        _mustNot(master[omni] != address(0), "an operator was registered twice");
        _mustNot(_omniOf[caller] != 0, "an account got a second operator");
        (master[omni], _omniOf[caller]) = (caller, omni);
        _count("registerOperator");
    }

    function freeze(uint256 seed) external {
        uint256 key = _aStopper(seed);
        bytes32 hash = hashOf(key);
        uint256 signer = _pick(seed, 2, 4) == 0 ? _pick(seed, 3, KEYS) : key;
        bytes32 omni = _pick(seed, 4, 4) == 0 ? ownOmni(account(_word(seed, 5))) : operatorOf[hash];
        uint64 nonce = sidecars.freezeNonce(omni) + uint64(_pick(seed, 6, 4) == 0 ? 1 : 0);
        bytes memory order = _sign(signer, sidecars.freezeDigest(omni, hash, nonce, block.timestamp));
        bytes memory data = abi.encodeCall(sidecars.freeze, (omni, hash, block.timestamp, order));
        bool isOrder =
            isActive(hash) &&
                operatorOf[hash] == omni &&
                actorOf[hash] == omni &&
                rolesOf[hash] & 2 != 0 &&
                hashOf(signer) == hash &&
                nonce == sidecars.freezeNonce(omni);
        if (!_callAs(account(_word(seed, 7)), address(sidecars), data)) return;
        _mustNot(!isOrder, "frozen without an order of a master device with RECOVERY");
        frozen[omni] = true;
        _count("freeze");
    }

    function unfreeze(uint256 seed) external {
        address caller = account(seed);
        for (uint256 i = 0; i < ACCOUNTS; ++i) if (frozen[_omnis[i]]) caller = _callerFor(seed, _omnis[i]);
        if (!_callAs(caller, address(sidecars), abi.encodeCall(sidecars.unfreeze, ()))) return;
        bytes32 omni = _mastered(caller);
        _mustNot(!frozen[omni], "unfrozen without a freeze");
        frozen[omni] = false;
        _count("unfreeze");
    }

    /// @notice Announces, or withdraws.
    function transfer(uint256 seed) external {
        (address caller, address to) = (account(seed), account(_word(seed, 1)));
        if (_pick(seed, 2, 4) == 0) {
            if (_callAs(caller, address(sidecars), abi.encodeCall(sidecars.cancelTransfer, ()))) {
                delete _transfers[_mastered(caller)];
            }
        } else if (_callAs(caller, address(sidecars), abi.encodeCall(sidecars.transferOperator, (to)))) {
            _transfers[_mastered(caller)] = Transfer(to, block.timestamp + 48 hours);
        }
    }

    function accept(uint256 seed) external {
        bytes32 omni = ownOmni(account(seed));
        Transfer memory announced = _transfers[omni];
        address caller = announced.to;
        if (_pick(seed, 1, 4) == 0) caller = _pick(seed, 2, 2) == 0 ? address(0xbad) : account(_word(seed, 3));
        if (!_callAs(caller, address(sidecars), abi.encodeCall(sidecars.acceptOperator, (omni)))) return;
        _mustNot(caller != announced.to || caller == address(0), "an operator went to somebody else");
        _mustNot(block.timestamp < announced.acceptableAt, "an operator was taken over early");
        _mustNot(_omniOf[caller] != 0, "an account got a second operator");
        (master[omni], _omniOf[caller]) = (caller, omni);
        delete _transfers[omni];
        for (uint256 i = 0; i < KEYS; ++i) if (actorOf[hashOf(i)] == omni) ended[hashOf(i)] = true;
        _count("accept");
    }

    // -------------------------------------------------------------------------------------------------------- devices

    function registerMasterDevice(uint256 seed) external {
        Try memory t = _try(seed);
        t.actorOmni = t.operatorOmni;
        t.roles = uint8(_pick(seed, 8, 9)); // 0 and 8 are no roles
        _prove(seed, t);
        bytes memory data = abi.encodeCall(
            sidecars.registerMasterDevice,
            (_keys[t.key], t.roles, 0, 0, t.deadline, t.proof)
        );
        if (!_callAs(t.caller, address(sidecars), data)) return;
        _registered(t, "registerMasterDevice");
    }

    function registerAgentDevice(uint256 seed) external {
        Try memory t = _try(seed);
        uint256 number = _pick(seed, 8, LABELS);
        if (_pick(seed, 9, 2) == 0) _becomeMasterOf(t, _omnis[_pick(seed, 10, ACCOUNTS)]);
        t.actorOmni = _agent(t.operatorOmni, number);
        t.roles = 1;
        _prove(seed, t);
        bytes memory data = abi.encodeCall(
            sidecars.registerAgentDevice,
            (label(number), _keys[t.key], 0, t.deadline, t.proof)
        );
        bool again = sidecars.actorGeneration(t.actorOmni) > 0 && !live[t.actorOmni];
        if (!_callAs(t.caller, address(sidecars), data)) return;
        live[t.actorOmni] = true;
        if (again) _count("agent starts again");
        _registered(t, "registerAgentDevice");
    }

    function rotateDevice(uint256 seed) external {
        Try memory t = _try(seed);
        bytes32 old = hashOf(_pick(seed, 8, KEYS));
        if (_pick(seed, 9, 4) > 0) _becomeMasterOf(t, operatorOf[old]);
        (t.actorOmni, t.roles) = (actorOf[old], rolesOf[old]);
        _prove(seed, t);
        bool wasActive = isActive(old);
        bytes memory data = abi.encodeCall(sidecars.rotateDevice, (old, _keys[t.key], t.deadline, t.proof));
        if (!_callAs(t.caller, address(sidecars), data)) return;
        _mustNot(!wasActive, "an ended device was rotated");
        _mustNot(operatorOf[old] != t.operatorOmni, "somebody else's device was rotated");
        ended[old] = true;
        _registered(t, "rotateDevice");
    }

    function revokeDevice(uint256 seed) external {
        bytes32 hash = hashOf(_pick(seed, 1, KEYS));
        address caller = _callerFor(seed, operatorOf[hash]);
        if (!_callAs(caller, address(sidecars), abi.encodeCall(sidecars.revokeDevice, (hash)))) return;
        _mustNot(_mastered(caller) != operatorOf[hash], "somebody else's device was revoked");
        ended[hash] = true;
        _count("revokeDevice");
    }

    function revokeActor(uint256 seed) external {
        (bytes32 omni, bytes32 actor) = _anAgent(seed);
        address caller = _callerFor(seed, omni);
        if (!_callAs(caller, address(sidecars), abi.encodeCall(sidecars.revokeActor, (actor)))) return;
        _mustNot(_mastered(caller) != omni, "somebody else's agent was revoked");
        live[actor] = false;
        for (uint256 i = 0; i < KEYS; ++i) if (actorOf[hashOf(i)] == actor) ended[hashOf(i)] = true;
        _dropGrants(actor);
        _count("revokeActor");
    }

    // --------------------------------------------------------------------------------------------------------- grants

    function setGrant(uint256 seed) external {
        (bytes32 omni, bytes32 actor) = _anAgent(seed);
        address caller = _callerFor(seed, omni);
        uint256 scope = _pick(seed, 3, SCOPES);
        Grant memory grant = Grant(
            uint8(_pick(seed, 4, 17)), // 0 and 16 are refused
            uint64(block.timestamp + _pick(seed, 5, 20 days)) // now is refused
        );
        GrantInput[] memory inputs = new GrantInput[](1);
        (uint8 dataClass, bytes32 service) = scopeOf(scope);
        inputs[0] = GrantInput(dataClass, service, grant.ops, grant.validUntil);
        if (!_callAs(caller, address(scopes), abi.encodeCall(scopes.setGrants, (actor, inputs)))) return;
        _mustNot(_mastered(caller) != omni, "somebody else's agent got a grant");
        _mustNot(frozen[omni], "a frozen operator granted");
        _mustNot(!live[actor], "a revoked agent got a grant");
        _grants[actor][scope] = grant;
        _count("setGrant");
    }

    function revokeGrant(uint256 seed) external {
        (bytes32 omni, bytes32 actor) = _anAgent(seed);
        address caller = _callerFor(seed, omni);
        uint256 scope = _aScope(seed, actor);
        bytes32[] memory scopeKeys = new bytes32[](1);
        (uint8 dataClass, bytes32 service) = scopeOf(scope);
        scopeKeys[0] = scopes.scopeKeyOf(dataClass, service);
        if (!_callAs(caller, address(scopes), abi.encodeCall(scopes.revokeGrants, (actor, scopeKeys)))) return;
        _mustNot(_mastered(caller) != omni, "somebody else's grant was revoked");
        _mustNot(_grants[actor][scope].ops == 0, "a grant that was none was revoked");
        delete _grants[actor][scope];
        _count("revokeGrant");
    }

    function revokeAllGrants(uint256 seed) external {
        (bytes32 omni, bytes32 actor) = _anAgent(seed);
        address caller = _callerFor(seed, omni);
        if (!_callAs(caller, address(scopes), abi.encodeCall(scopes.revokeAll, (actor)))) return;
        _mustNot(_mastered(caller) != omni, "somebody else's grants were revoked");
        _dropGrants(actor);
        _count("revokeAllGrants");
    }

    // ---------------------------------------------------------------------------------------------------------- names

    function account(uint256 number) public pure returns (address) {
        return address(uint160(0xacc0 + (number % ACCOUNTS)));
    }

    function ownOmni(address of_) public view returns (bytes32) {
        return _omnis[uint160(of_) - 0xacc0];
    }

    function label(uint256 number) public pure returns (string memory) {
        return number == 0 ? "alpha" : "beta";
    }

    function hashOf(uint256 key) public view returns (bytes32) {
        return _hashes[key];
    }

    function scopeOf(uint256 scope) public pure returns (uint8 dataClass, bytes32 service) {
        return (uint8(1 + (scope & 1)), bytes32(scope >> 1));
    }

    function isActive(bytes32 hash) public view returns (bool) {
        return operatorOf[hash] != 0 && !ended[hash];
    }

    // -------------------------------------------------------------------------------------------------------- helpers

    /// @dev The operator computed from an account, written out here and not asked of the registry.
    function _ownOmni(address of_) private pure returns (bytes32) {
        bytes memory text = new bytes(42);
        (text[0], text[1]) = ("0", "x");
        for (uint256 i = 0; i < 40; ++i) {
            text[2 + i] = bytes16("0123456789abcdef")[(uint160(of_) >> (156 - 4 * i)) & 15];
        }
        return sha256(bytes.concat("agentkeysevm", text));
    }

    function _agent(bytes32 omni, uint256 number) private pure returns (bytes32) {
        return sha256(bytes.concat("agentkeys-hdkd-v1", omni, "//", bytes(label(number))));
    }

    function _try(uint256 seed) private view returns (Try memory t) {
        t.caller = account(_word(seed, 1));
        // whoever is master of nothing tries with the operator computed from its address
        t.operatorOmni = _omniOf[t.caller] == 0 ? ownOmni(t.caller) : _omniOf[t.caller];
        t.key = _pick(seed, 2, KEYS);
        t.deadline = block.timestamp + 1 hours;
    }

    function _becomeMasterOf(Try memory t, bytes32 omni) private view {
        (t.caller, t.operatorOmni) = (master[omni], omni);
    }

    /// @dev Half are honest; the others sign with another key, for another operator, agent or roles, or came too late.
    function _prove(uint256 seed, Try memory t) private view {
        uint256 variant = _pick(seed, 3, 10);
        t.honest = variant > 4;
        uint256 signer = variant == 0 ? (t.key + 1) % KEYS : t.key;
        bytes32 operatorOmni = variant == 1 ? bytes32(uint256(t.operatorOmni) ^ 1) : t.operatorOmni;
        bytes32 actorOmni = variant == 2 ? bytes32(uint256(t.actorOmni) ^ 1) : t.actorOmni;
        uint8 roles = variant == 3 ? t.roles ^ 2 : t.roles;
        if (variant == 4) t.deadline = block.timestamp - 1;
        address key = _keys[t.key];
        t.proof = _sign(signer, sidecars.deviceBindingDigest(operatorOmni, actorOmni, key, roles, 0, t.deadline));
    }

    function _registered(Try memory t, string memory name) private {
        bytes32 hash = hashOf(t.key);
        _mustNot(!t.honest, "a device was bound that had not agreed");
        _mustNot(_mastered(t.caller) != t.operatorOmni, "a device was bound for somebody else");
        _mustNot(frozen[t.operatorOmni], "a frozen operator bound a device");
        _mustNot(operatorOf[hash] != 0, "a hash was registered twice");
        (operatorOf[hash], actorOf[hash], rolesOf[hash]) = (t.operatorOmni, t.actorOmni, t.roles);
        _count(name);
    }

    /// @dev The operator whose master the caller is; an act that got through without one is a violation.
    function _mastered(address caller) private returns (bytes32 omni) {
        omni = _omniOf[caller];
        _mustNot(omni == 0 || master[omni] != caller, "somebody acted without being a master");
    }

    /// @dev Mostly a live one, where there is any.
    function _anAgent(uint256 seed) private view returns (bytes32 omni, bytes32 actor) {
        uint256 start = _pick(seed, 12, ACCOUNTS * LABELS);
        uint256 tries = _pick(seed, 13, 4) == 0 ? 1 : ACCOUNTS * LABELS;
        for (uint256 i = 0; i < tries; ++i) {
            uint256 at = (start + i) % (ACCOUNTS * LABELS);
            (omni, actor) = (_omnis[at % ACCOUNTS], _agents[at % ACCOUNTS][at / ACCOUNTS]);
            if (live[actor]) break;
        }
    }

    /// @dev Mostly a key that may freeze, where there is any.
    function _aStopper(uint256 seed) private view returns (uint256 key) {
        uint256 tries = _pick(seed, 13, 4) == 0 ? 1 : KEYS;
        for (uint256 i = 0; i < tries; ++i) {
            key = (_pick(seed, 1, KEYS) + i) % KEYS;
            bytes32 hash = hashOf(key);
            if (isActive(hash) && actorOf[hash] == operatorOf[hash] && rolesOf[hash] & 2 != 0) break;
        }
    }

    /// @dev Mostly one that is there, where there is any.
    function _aScope(uint256 seed, bytes32 actor) private view returns (uint256 scope) {
        uint256 start = _pick(seed, 14, SCOPES);
        for (uint256 i = 0; i < SCOPES; ++i) {
            scope = (start + i) % SCOPES;
            if (_grants[actor][scope].ops != 0) break;
        }
    }

    /// @dev Mostly the master, sometimes anybody.
    function _callerFor(uint256 seed, bytes32 omni) private view returns (address) {
        return _pick(seed, 10, 4) == 0 ? account(_word(seed, 11)) : master[omni];
    }

    function _dropGrants(bytes32 actor) private {
        for (uint256 scope = 0; scope < SCOPES; ++scope) delete _grants[actor][scope];
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key + 1, digest);
        return abi.encodePacked(r, s, v);
    }
}
