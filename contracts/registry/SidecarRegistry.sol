// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { DeviceFacts, GranteeFacts, ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
import { DeviceRegistry } from "./DeviceRegistry.sol";

/// @title Who may mint, for whom
/// @notice What device keys may do: stop their operator, and be believed by services and by ScopeRegistry.
/// @dev Operators are in {OperatorRegistry}, agents and devices in {DeviceRegistry}.
contract SidecarRegistry is DeviceRegistry {
    uint8 private constant BINDING_NONE = 0;
    uint8 private constant BINDING_SELF = 1;
    uint8 private constant BINDING_PARENT = 2;

    bytes32 private constant FREEZE_TYPEHASH = keccak256(
        "Freeze(bytes32 operatorOmni,bytes32 deviceKeyHash,uint64 freezeNonce,uint256 deadline)"
    );

    uint256 private constant FREEZE_WINDOW = 1 hours;

    /// @inheritdoc ISidecarRegistry
    function freeze(bytes32 operatorOmni, bytes32 deviceKeyHash, uint256 deadline, bytes calldata sig) external {
        Operator storage operator = _operators[operatorOmni];
        if (operator.master == address(0)) revert OperatorUnknown(operatorOmni);
        if (operator.frozen) revert OperatorIsFrozen(operatorOmni);
        _requireDeadline(deadline, FREEZE_WINDOW);
        DeviceRecord storage device = _devices[deviceKeyHash];
        if (device.operatorOmni == 0) revert DeviceNotRegistered(deviceKeyHash);
        if (device.operatorOmni != operatorOmni) revert DeviceNotOfOperator(deviceKeyHash, operatorOmni);
        if (device.tier != MASTER) revert DeviceNotMasterTier(deviceKeyHash);
        if (!_isActive(device)) revert DeviceNotActive(deviceKeyHash);
        if (device.roles & RECOVERY == 0) revert DeviceRoleMissing(deviceKeyHash, RECOVERY);

        uint48 nonce = operator.freezeNonce;
        address recovered = ECDSA.recoverCalldata(freezeDigest(operatorOmni, deviceKeyHash, nonce, deadline), sig);
        if (_hashOf(recovered) != deviceKeyHash) revert SignerMismatch(_keyOf(device), recovered);

        operator.frozen = true;
        operator.freezeNonce = nonce + 1;
        emit OperatorFrozen(operatorOmni, deviceKeyHash, nonce);
    }

    /// @inheritdoc ISidecarRegistry
    function checkPop(
        bytes32 digest,
        bytes calldata sig,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 role
    ) external view returns (bytes32 deviceKeyHash) {
        _requireRoles(role);
        deviceKeyHash = _hashOf(ECDSA.recoverCalldata(digest, sig));
        DeviceRecord storage device = _devices[deviceKeyHash];
        bytes32 owner = device.operatorOmni;
        if (owner == 0) revert DeviceNotRegistered(deviceKeyHash);
        bool active = _isActive(device);
        if (!active) revert DeviceNotActive(deviceKeyHash);
        if (_operators[owner].frozen) revert OperatorIsFrozen(owner);
        if (device.roles & role != role) revert DeviceRoleMissing(deviceKeyHash, role);
        if (_bindingOf(device, active, operatorOmni, actorOmni) == BINDING_NONE) {
            revert DeviceBindingMismatch(deviceKeyHash, operatorOmni, actorOmni);
        }
    }

    /// @inheritdoc ISidecarRegistry
    function deviceFacts(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni
    ) external view returns (DeviceFacts memory facts) {
        facts.actorGeneration = _actors[actorOmni].generation;
        DeviceRecord storage device = _devices[deviceKeyHash];
        bytes32 owner = device.operatorOmni;
        if (owner == 0) return facts;
        bool active = _isActive(device);
        facts.registered = true;
        facts.notRevoked = active;
        facts.operatorNotFrozen = !_operators[owner].frozen;
        facts.roles = device.roles;
        facts.binding = _bindingOf(device, active, operatorOmni, actorOmni);
        facts.isOperatorSelf = facts.binding == BINDING_SELF && actorOmni == operatorOmni;
    }

    /// @inheritdoc ISidecarRegistry
    function granteeFacts(address account, bytes32 actorOmni) external view returns (GranteeFacts memory facts) {
        bytes32 operatorOmni = _currentOmniOf(account);
        if (operatorOmni == 0) return facts;
        Actor storage actor = _actors[actorOmni];
        facts.operatorOmni = operatorOmni;
        facts.operatorNotFrozen = !_operators[operatorOmni].frozen;
        facts.actorOwned = actor.operatorOmni == operatorOmni;
        facts.actorLive = _isLiveAgent(actor);
        facts.actorGeneration = actor.generation;
    }

    /// @inheritdoc ISidecarRegistry
    function freezeDigest(
        bytes32 operatorOmni,
        bytes32 deviceKeyHash,
        uint64 nonce,
        uint256 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(FREEZE_TYPEHASH, operatorOmni, deviceKeyHash, nonce, deadline)));
    }

    /// @dev How a registered device stands to an operator and actor; `active` is {_isActive} of it.
    function _bindingOf(
        DeviceRecord storage device,
        bool active,
        bytes32 operatorOmni,
        bytes32 actorOmni
    ) private view returns (uint8) {
        if (device.operatorOmni != operatorOmni) return BINDING_NONE;
        if (device.actorOmni == actorOmni) return BINDING_SELF;
        if (!active || device.tier != MASTER) return BINDING_NONE;
        Actor storage actor = _actors[actorOmni];
        return actor.operatorOmni == operatorOmni && !actor.ended ? BINDING_PARENT : BINDING_NONE;
    }
}
