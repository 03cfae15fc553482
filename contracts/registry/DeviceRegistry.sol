// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { Device, ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
import { Omni } from "../libraries/Omni.sol";
import { OperatorRegistry } from "./OperatorRegistry.sol";

/// @title The agents and device keys of a SidecarRegistry
/// @notice Registration, rotation and revocation, and what is known about each device.
abstract contract DeviceRegistry is OperatorRegistry {
    /// @dev One word, read whole.
    struct DeviceState {
        uint8 roles;
        uint8 tier;
        uint40 registeredAt;
        uint40 revokedAt;
        uint40 generation;
        /// @dev Where the key stands in the operator's list.
        uint48 position;
    }

    /// @dev Three words, two for MASTER tier; the two after them are written only when they are not zero.
    struct DeviceRecord {
        /// @dev Zero for an unknown hash.
        bytes32 operatorOmni;
        DeviceState state;
        /// @dev Zero for MASTER tier, whose actor is the operator.
        bytes32 agentOmni;
        bytes32 k11CredId;
        bytes32 attestationHash;
    }

    /// @dev An agent. The second word stays zero, and unpaid, until the agent is revoked.
    struct Actor {
        /// @dev Zero for an unknown agent; the operator's own omni is not in this mapping.
        bytes32 operatorOmni;
        /// @dev Raised by {revokeActor}.
        uint40 generation;
        /// @dev Revoked, and not registered again since: not live.
        bool ended;
    }

    /// @dev What one registration binds.
    struct Binding {
        bytes32 operatorOmni;
        bytes32 actorOmni;
        address key;
        uint8 roles;
        uint8 tier;
        uint40 generation;
        bytes32 k11CredId;
        bytes32 attestationHash;
    }

    uint8 internal constant CAP_MINT = 1;
    uint8 internal constant RECOVERY = 2;
    uint8 internal constant ALL_ROLES = 7;
    uint8 internal constant MASTER = 1;
    uint8 internal constant AGENT = 2;

    bytes32 private constant BINDING_TYPEHASH = keccak256(
        "DeviceBinding(bytes32 operatorOmni,bytes32 actorOmni,address deviceKey,uint8 roles,bytes32 attestationHash,uint256 deadline)"
    );

    uint256 private constant BINDING_WINDOW = 1 days;

    /// @dev device key hash → device; an entry is never removed, so a hash is registered once, ever
    mapping(bytes32 deviceKeyHash => DeviceRecord) internal _devices;

    /// @dev operator omni → position → key
    mapping(bytes32 operatorOmni => mapping(uint256 position => address key)) private _keys;

    /// @dev actor omni → agent
    mapping(bytes32 actorOmni => Actor) internal _actors;

    /// @inheritdoc ISidecarRegistry
    function registerMasterDevice(
        address key,
        uint8 roles,
        bytes32 k11CredId,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash) {
        bytes32 operatorOmni = _requireMaster();
        _requireRoles(roles);
        Binding memory binding = Binding({
            operatorOmni: operatorOmni,
            actorOmni: operatorOmni,
            key: key,
            roles: roles,
            tier: MASTER,
            generation: _operators[operatorOmni].generation,
            k11CredId: k11CredId,
            attestationHash: attestationHash
        });
        return _register(binding, deadline, popSig);
    }

    /// @inheritdoc ISidecarRegistry
    function registerAgentDevice(
        string calldata label,
        address key,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 actorOmni, bytes32 deviceKeyHash) {
        bytes32 operatorOmni = _requireMaster();
        actorOmni = computeActorOmni(operatorOmni, label);
        Actor storage actor = _actors[actorOmni];
        (uint40 generation, bool ended) = (actor.generation, actor.ended);
        if (actor.operatorOmni == 0) {
            actor.operatorOmni = operatorOmni;
            emit ActorRegistered(operatorOmni, actorOmni, label, generation);
        } else if (ended) {
            actor.ended = false;
            emit ActorRegistered(operatorOmni, actorOmni, label, generation);
        }
        Binding memory binding = Binding({
            operatorOmni: operatorOmni,
            actorOmni: actorOmni,
            key: key,
            roles: CAP_MINT,
            tier: AGENT,
            generation: generation,
            k11CredId: 0,
            attestationHash: attestationHash
        });
        deviceKeyHash = _register(binding, deadline, popSig);
    }

    /// @inheritdoc ISidecarRegistry
    function rotateDevice(
        bytes32 oldDeviceKeyHash,
        address newKey,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash) {
        (bytes32 operatorOmni, DeviceRecord storage old) = _requireOwnDevice(oldDeviceKeyHash);
        DeviceState memory state = old.state;
        if (!_isActive(old)) revert DeviceNotActive(oldDeviceKeyHash);
        Binding memory binding = Binding({
            operatorOmni: operatorOmni,
            actorOmni: _actorOf(old),
            key: newKey,
            roles: state.roles,
            tier: state.tier,
            generation: state.generation,
            k11CredId: old.k11CredId,
            attestationHash: 0
        });
        _end(oldDeviceKeyHash, old);
        deviceKeyHash = _register(binding, deadline, popSig);
        emit DeviceRotated(operatorOmni, binding.actorOmni, oldDeviceKeyHash, deviceKeyHash);
    }

    /// @inheritdoc ISidecarRegistry
    function revokeDevice(bytes32 deviceKeyHash) external {
        (, DeviceRecord storage device) = _requireOwnDevice(deviceKeyHash);
        if (device.state.revokedAt != 0) revert DeviceNotActive(deviceKeyHash);
        _end(deviceKeyHash, device);
    }

    /// @inheritdoc ISidecarRegistry
    function revokeActor(bytes32 actorOmni) external {
        bytes32 operatorOmni = _requireMaster();
        Actor storage actor = _actors[actorOmni];
        if (actor.operatorOmni != operatorOmni) revert ActorNotOfOperator(actorOmni, operatorOmni);
        if (actor.ended) revert ActorNotLive(actorOmni);
        actor.ended = true;
        emit ActorRevoked(operatorOmni, actorOmni, ++actor.generation);
    }

    /// @inheritdoc ISidecarRegistry
    function getDevice(bytes32 deviceKeyHash) external view returns (Device memory) {
        DeviceRecord storage device = _devices[deviceKeyHash];
        DeviceState memory state = device.state;
        return
            Device({
                operatorOmni: device.operatorOmni,
                actorOmni: _actorOf(device),
                key: _keyOf(device),
                roles: state.roles,
                tier: state.tier,
                registeredAt: state.registeredAt,
                revokedAt: state.revokedAt,
                generation: state.generation,
                k11CredId: device.k11CredId,
                attestationHash: device.attestationHash
            });
    }

    /// @inheritdoc ISidecarRegistry
    function isActive(bytes32 deviceKeyHash) external view returns (bool) {
        return _isActive(_devices[deviceKeyHash]);
    }

    /// @inheritdoc ISidecarRegistry
    function operatorOf(bytes32 actorOmni) external view returns (bytes32 operatorOmni) {
        return _isOperator(actorOmni) ? actorOmni : _actors[actorOmni].operatorOmni;
    }

    /// @inheritdoc ISidecarRegistry
    function actorGeneration(bytes32 actorOmni) external view returns (uint64) {
        return _isOperator(actorOmni) ? _operators[actorOmni].generation : _actors[actorOmni].generation;
    }

    /// @inheritdoc ISidecarRegistry
    function isLive(bytes32 actorOmni) external view returns (bool) {
        return _isOperator(actorOmni) || _isLiveAgent(_actors[actorOmni]);
    }

    /// @inheritdoc ISidecarRegistry
    function devicesOf(
        bytes32 operatorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (bytes32[] memory deviceKeyHashes, uint256 nextCursor) {
        uint256 count = _operators[operatorOmni].deviceCount;
        uint256 left = cursor < count ? count - cursor : 0;
        if (size > left) size = left;
        deviceKeyHashes = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) deviceKeyHashes[i] = _hashOf(_keys[operatorOmni][cursor + i]);
        nextCursor = cursor + size;
    }

    /// @inheritdoc ISidecarRegistry
    function deviceBindingDigest(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        address deviceKey,
        uint8 roles,
        bytes32 attestationHash,
        uint256 deadline
    ) public view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(BINDING_TYPEHASH, operatorOmni, actorOmni, deviceKey, roles, attestationHash, deadline)
                )
            );
    }

    /// @inheritdoc ISidecarRegistry
    function computeActorOmni(bytes32 operatorOmni, string calldata label) public pure returns (bytes32) {
        if (!Omni.isLabel(label)) revert InvalidLabel(label);
        return Omni.ofActor(operatorOmni, label);
    }

    /// @dev Registered, not revoked one by one, and of the current generation.
    function _isActive(DeviceRecord storage device) internal view returns (bool) {
        DeviceState storage state = device.state;
        if (state.tier == 0 || state.revokedAt != 0) return false;
        if (state.tier == MASTER) return state.generation == _operators[device.operatorOmni].generation;
        return state.generation == _actors[device.agentOmni].generation;
    }

    /// @dev The actor that a device is its own: the operator for MASTER tier, zero for an unknown device.
    function _actorOf(DeviceRecord storage device) private view returns (bytes32) {
        return device.state.tier == MASTER ? device.operatorOmni : device.agentOmni;
    }

    /// @dev The key's address, zero for an unknown device: the zero omni has an empty list.
    function _keyOf(DeviceRecord storage device) internal view returns (address) {
        return _keys[device.operatorOmni][device.state.position];
    }

    function _isLiveAgent(Actor storage actor) internal view returns (bool) {
        return actor.operatorOmni != 0 && !actor.ended;
    }

    function _isOperator(bytes32 omni) internal view returns (bool) {
        return _operators[omni].master != address(0);
    }

    function _requireRoles(uint8 roles) internal pure {
        if (roles == 0 || roles > ALL_ROLES) revert InvalidRoles(roles);
    }

    /// @dev A deadline that has not passed and lies at most `window` seconds ahead.
    function _requireDeadline(uint256 deadline, uint256 window) internal view {
        if (deadline < block.timestamp) revert DeadlinePassed(deadline, block.timestamp);
        uint256 latest = block.timestamp + window;
        if (deadline > latest) revert DeadlineTooFar(deadline, latest);
    }

    /// @dev keccak256 of the 20 bytes of a device key's address.
    function _hashOf(address key) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(key));
    }

    /// @dev A device, ended or not, of the operator that the caller is master of.
    function _requireOwnDevice(
        bytes32 deviceKeyHash
    ) private view returns (bytes32 operatorOmni, DeviceRecord storage device) {
        operatorOmni = _requireMaster();
        device = _devices[deviceKeyHash];
        bytes32 owner = device.operatorOmni;
        if (owner == 0) revert DeviceNotRegistered(deviceKeyHash);
        if (owner != operatorOmni) revert DeviceNotOfOperator(deviceKeyHash, operatorOmni);
    }

    /// @dev The one way into the registry, for a caller that is master of `binding.operatorOmni`: the key itself must have
    /// signed exactly this binding for this contract on this chain.
    function _register(
        Binding memory binding,
        uint256 deadline,
        bytes calldata popSig
    ) private returns (bytes32 deviceKeyHash) {
        bytes32 operatorOmni = binding.operatorOmni;
        Operator storage operator = _operators[operatorOmni];
        if (operator.frozen) revert OperatorIsFrozen(operatorOmni);
        _requireDeadline(deadline, BINDING_WINDOW);
        bytes32 digest = deviceBindingDigest(
            operatorOmni,
            binding.actorOmni,
            binding.key,
            binding.roles,
            binding.attestationHash,
            deadline
        );
        address recovered = ECDSA.recoverCalldata(digest, popSig);
        if (recovered != binding.key) revert SignerMismatch(binding.key, recovered);

        deviceKeyHash = _hashOf(binding.key);
        DeviceRecord storage device = _devices[deviceKeyHash];
        if (device.operatorOmni != 0) revert DeviceAlreadyRegistered(deviceKeyHash);
        uint48 position = operator.deviceCount;
        operator.deviceCount = position + 1;
        _keys[operatorOmni][position] = binding.key;
        device.operatorOmni = operatorOmni;
        device.state = DeviceState({
            roles: binding.roles,
            tier: binding.tier,
            registeredAt: uint40(block.timestamp),
            revokedAt: 0,
            generation: binding.generation,
            position: position
        });
        if (binding.tier == AGENT) device.agentOmni = binding.actorOmni;
        if (binding.k11CredId != 0) device.k11CredId = binding.k11CredId;
        if (binding.attestationHash != 0) device.attestationHash = binding.attestationHash;
        emit DeviceRegistered(
            operatorOmni,
            binding.actorOmni,
            deviceKeyHash,
            binding.key,
            binding.roles,
            binding.tier,
            binding.generation,
            binding.k11CredId,
            binding.attestationHash
        );
    }

    function _end(bytes32 deviceKeyHash, DeviceRecord storage device) private {
        device.state.revokedAt = uint40(block.timestamp);
        emit DeviceRevoked(device.operatorOmni, _actorOf(device), deviceKeyHash);
    }
}
