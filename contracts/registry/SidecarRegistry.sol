// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { GranteeFacts, ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
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
        if (device.state.tier != MASTER) revert DeviceNotMasterTier(deviceKeyHash);
        if (!_isActive(device)) revert DeviceNotActive(deviceKeyHash);
        if (device.state.roles & RECOVERY == 0) revert DeviceRoleMissing(deviceKeyHash, RECOVERY);

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
        uint8 roles = device.state.roles;
        (bool active, uint8 binding, ) = _standing(device, owner, operatorOmni, actorOmni);
        if (!active) revert DeviceNotActive(deviceKeyHash);
        if (_operators[owner].frozen) revert OperatorIsFrozen(owner);
        if (roles & role != role) revert DeviceRoleMissing(deviceKeyHash, role);
        if (binding == BINDING_NONE) revert DeviceBindingMismatch(deviceKeyHash, operatorOmni, actorOmni);
    }

    /// @inheritdoc ISidecarRegistry
    function deviceFacts(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni
    ) external view returns (bool active, bool operatorNotFrozen, uint8 roles, uint8 binding, uint64 actorGeneration) {
        DeviceRecord storage device = _devices[deviceKeyHash];
        bytes32 owner = device.operatorOmni;
        if (owner == 0) return (false, false, 0, BINDING_NONE, 0);
        operatorNotFrozen = !_operators[owner].frozen;
        roles = device.state.roles;
        (active, binding, actorGeneration) = _standing(device, owner, operatorOmni, actorOmni);
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

    /// @dev Whether a device of `owner` is active, and how it stands to the operator and actor asked for.
    function _standing(
        DeviceRecord storage device,
        bytes32 owner,
        bytes32 operatorOmni,
        bytes32 actorOmni
    ) private view returns (bool active, uint8 binding, uint64 actorGeneration) {
        active = _isActive(device);
        if (owner != operatorOmni) return (active, BINDING_NONE, 0);
        if (device.state.tier == AGENT) {
            if (device.agentOmni == actorOmni) return (active, BINDING_SELF, _actors[actorOmni].generation);
        } else if (actorOmni == owner) {
            return (active, BINDING_SELF, _operators[owner].generation);
        } else if (active) {
            Actor storage agent = _actors[actorOmni];
            if (agent.operatorOmni == owner && !agent.ended) return (active, BINDING_PARENT, agent.generation);
        }
    }
}
