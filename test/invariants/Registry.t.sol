// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { AccessFacts } from "../../contracts/interfaces/IScopeRegistry.sol";
import { RegistryHandler } from "./RegistryHandler.sol";
import { Handler } from "./support/Handler.sol";
import { InvariantTest } from "./support/InvariantTest.sol";

/// @title SidecarRegistry and ScopeRegistry agree with what their handler saw happen
contract RegistryProperties is RegistryHandler {
    function _checkAll() internal view override {
        for (uint256 key = 0; key < KEYS; ++key) _checkDevice(_hashes[key]);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _checkOperator(account(i), _omnis[i]);
            for (uint256 j = 0; j < LABELS; ++j) _checkAgent(_omnis[i], _agents[i][j]);
        }
    }

    /// @dev Active exactly when its operator's master bound it and nothing has ended it since; ended is for ever; it serves
    /// one operator and one actor.
    function _checkDevice(bytes32 hash) private view {
        require(sidecars.isActive(hash) == isActive(hash), "a device is active that should not be, or not");
        bytes32 omni = operatorOf[hash];
        AccessFacts memory own = scopes.checkAccess(hash, omni, actorOf[hash], 1, 0);
        require(own.deviceNotRevoked == isActive(hash), "the decision takes an ended device for an active one");
        require(own.operatorNotFrozen == (omni != 0 && !frozen[omni]), "the decision does not know of a freeze");
        require(own.binding == (omni != 0 ? 1 : 0), "the decision does not know whose the device is");
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            if (_omnis[i] == omni) continue;
            (, , , uint8 binding, ) = sidecars.deviceFacts(hash, _omnis[i], _omnis[i]);
            require(binding == 0, "a device serves an operator that did not bind it");
        }
    }

    /// @dev Masters and omnis are those that their owners made.
    function _checkOperator(address account_, bytes32 omni) private view {
        require(sidecars.masterOf(omni) == master[omni], "an operator has another master");
        require(sidecars.isFrozen(omni) == frozen[omni], "an operator is frozen that should not be, or not");
        bytes32 mastered = sidecars.omniOf(account_);
        require(mastered == 0 || master[mastered] == account_, "an account is taken for another's master");
    }

    /// @dev In force exactly as long as what the master wrote last says, and nothing has ended it.
    function _checkAgent(bytes32 omni, bytes32 actor) private view {
        require(sidecars.isLive(actor) == live[actor], "an agent is live that should not be, or not");
        for (uint256 scope = 0; scope < SCOPES; ++scope) {
            Grant memory grant = _grants[actor][scope];
            (uint8 dataClass, bytes32 service) = scopeOf(scope);
            uint8 op = uint8(1 << (uint256(keccak256(abi.encode(block.timestamp, passedInAll, scope))) & 3));
            require(
                scopes.isServiceInScope(omni, actor, dataClass, service, op) ==
                    (grant.ops & op != 0 && block.timestamp < grant.validUntil),
                "a grant is in force that nobody made, or that ended"
            );
        }
    }
}

contract RegistryInvariants is InvariantTest {
    function newHandler() internal override returns (Handler) {
        return new RegistryProperties();
    }
}
