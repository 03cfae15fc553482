// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { IMasterAccount } from "../interfaces/IMasterAccount.sol";
import { ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
import { Omni } from "../libraries/Omni.sol";

/// @title The operators of a SidecarRegistry: who acts for each, and how it passes on
/// @notice Registration, freeze state and the 48-hour transfer.
abstract contract OperatorRegistry is ISidecarRegistry, EIP712 {
    /// @dev Two words; the first is all that an access decision reads.
    struct Operator {
        /// @dev Zero for an unknown operator.
        address master;
        bool frozen;
        /// @dev Raised by a transfer, which ends every MASTER-tier device.
        uint40 generation;
        /// @dev Length of the operator's list of devices.
        uint48 deviceCount;
        /// @dev Announced successor, zero when there is none.
        address newMaster;
        /// @dev Unix seconds from which the successor may accept.
        uint48 acceptableAt;
        /// @dev What the next freeze order must sign.
        uint48 freezeNonce;
    }

    uint256 private constant TRANSFER_DELAY = 48 hours;

    /// @dev For asking a master about its recovery; a master account needs a tenth. Where less is left, too little remains
    /// for what follows.
    uint256 private constant QUESTION_GAS = 100_000;

    /// @dev operator omni → operator
    mapping(bytes32 operatorOmni => Operator) internal _operators;

    /// @dev account → the operator that it is or once was master of; never cleared, so one account has one operator ever
    mapping(address account => bytes32 operatorOmni) private _omniOf;

    constructor() EIP712("AgentKeys", "2") {}

    /// @inheritdoc ISidecarRegistry
    function registerOperator() external returns (bytes32 operatorOmni) {
        _requireUnused(msg.sender);
        operatorOmni = Omni.ofOperator(msg.sender);
        // Only this account computes to this omni and it registers once, so the slot is empty.
        _omniOf[msg.sender] = operatorOmni;
        _operators[operatorOmni].master = msg.sender;
        emit OperatorRegistered(operatorOmni, msg.sender);
    }

    /// @inheritdoc ISidecarRegistry
    function unfreeze() external {
        bytes32 operatorOmni = _requireMaster();
        Operator storage operator = _operators[operatorOmni];
        if (!operator.frozen) revert OperatorNotFrozen(operatorOmni);
        operator.frozen = false;
        emit OperatorUnfrozen(operatorOmni, ++operator.freezeNonce);
    }

    /// @inheritdoc ISidecarRegistry
    function transferOperator(address newMaster) external {
        bytes32 operatorOmni = _requireMaster();
        if (newMaster == address(0)) revert InvalidNewMaster(newMaster);
        _requireUnused(newMaster);
        _requireNotRecovering(msg.sender);
        uint256 acceptableAt = block.timestamp + TRANSFER_DELAY;
        Operator storage operator = _operators[operatorOmni];
        operator.newMaster = newMaster;
        operator.acceptableAt = uint48(acceptableAt);
        emit TransferAnnounced(operatorOmni, msg.sender, newMaster, acceptableAt);
    }

    /// @inheritdoc ISidecarRegistry
    function acceptOperator(bytes32 operatorOmni) external {
        Operator storage operator = _operators[operatorOmni];
        (address newMaster, uint256 acceptableAt) = (operator.newMaster, operator.acceptableAt);
        if (newMaster == address(0)) revert NoTransferAnnounced(operatorOmni);
        if (newMaster != msg.sender) revert NotNewMaster(msg.sender, newMaster);
        if (block.timestamp < acceptableAt) revert TransferTooEarly(block.timestamp, acceptableAt);
        _requireUnused(msg.sender);
        address oldMaster = operator.master;
        _requireNotRecovering(oldMaster);
        _omniOf[msg.sender] = operatorOmni;
        operator.master = msg.sender;
        (operator.newMaster, operator.acceptableAt) = (address(0), 0);
        emit OperatorTransferred(operatorOmni, oldMaster, msg.sender, ++operator.generation);
    }

    /// @inheritdoc ISidecarRegistry
    function cancelTransfer() external {
        bytes32 operatorOmni = _requireMaster();
        Operator storage operator = _operators[operatorOmni];
        address newMaster = operator.newMaster;
        if (newMaster == address(0)) revert NoTransferAnnounced(operatorOmni);
        (operator.newMaster, operator.acceptableAt) = (address(0), 0);
        emit TransferCancelled(operatorOmni, msg.sender, newMaster);
    }

    /// @inheritdoc ISidecarRegistry
    function masterOf(bytes32 operatorOmni) external view returns (address) {
        return _operators[operatorOmni].master;
    }

    /// @inheritdoc ISidecarRegistry
    function omniOf(address account) external view returns (bytes32 operatorOmni) {
        return _currentOmniOf(account);
    }

    /// @inheritdoc ISidecarRegistry
    function isFrozen(bytes32 operatorOmni) external view returns (bool) {
        return _operators[operatorOmni].frozen;
    }

    /// @inheritdoc ISidecarRegistry
    function freezeNonce(bytes32 operatorOmni) external view returns (uint64) {
        return _operators[operatorOmni].freezeNonce;
    }

    /// @inheritdoc ISidecarRegistry
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc ISidecarRegistry
    function computeOperatorOmni(address account) external pure returns (bytes32) {
        return Omni.ofOperator(account);
    }

    /// @dev The operator that the caller is master of now.
    function _requireMaster() internal view returns (bytes32 operatorOmni) {
        operatorOmni = _currentOmniOf(msg.sender);
        if (operatorOmni == 0) revert NotMaster(msg.sender);
    }

    /// @dev Zero when the account is no master, or no longer.
    function _currentOmniOf(address account) internal view returns (bytes32 operatorOmni) {
        operatorOmni = _omniOf[account];
        if (_operators[operatorOmni].master != account) operatorOmni = 0;
    }

    /// @dev A first word of one means yes; whoever does not know the question says no. A hostile answer stops only the transfer of the answerer's own operator.
    function _requireNotRecovering(address master) private view {
        bytes4 question = IMasterAccount.recoveryPending.selector;
        bool pending;
        assembly ("memory-safe") {
            mstore(0x00, question)
            pending := staticcall(QUESTION_GAS, master, 0x00, 0x04, 0x00, 0x20)
            pending := and(pending, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))
        }
        if (pending) revert RecoveryIsPending(master);
    }

    function _requireUnused(address account) private view {
        bytes32 operatorOmni = _omniOf[account];
        if (operatorOmni != 0) revert AccountAlreadyUsed(account, operatorOmni);
    }
}
