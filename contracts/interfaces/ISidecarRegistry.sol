// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice One registered device key (K10).
struct Device {
    /// @dev The operator it serves, for ever.
    bytes32 operatorOmni;
    /// @dev The operator's own omni for a MASTER-tier device, the agent's for an AGENT-tier one.
    bytes32 actorOmni;
    /// @dev The secp256k1 address of the key; its keccak256 over 20 bytes is the device key hash.
    address key;
    /// @dev Bitmap CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4.
    uint8 roles;
    /// @dev MASTER 1, AGENT 2; 0 for an unknown hash.
    uint8 tier;
    /// @dev Unix seconds.
    uint64 registeredAt;
    /// @dev Unix seconds, 0 while not revoked one by one (a generation may still have ended it).
    uint64 revokedAt;
    /// @dev The actor's generation (AGENT) or the operator's (MASTER) when it was registered.
    uint64 generation;
    /// @dev Information only, never authority; zero for AGENT tier.
    bytes32 k11CredId;
    /// @dev Information only; zero when there is none.
    bytes32 attestationHash;
}

/// @notice What ScopeRegistry needs before it writes a grant. Zeros refuse.
struct GranteeFacts {
    /// @dev The operator whose master is the account asked for; zero when there is none.
    bytes32 operatorOmni;
    /// @dev That operator is not frozen.
    bool operatorNotFrozen;
    /// @dev The agent belongs to that operator. The operator's own actor is no agent: it needs no grant.
    bool actorOwned;
    /// @dev The agent was registered, and registered again since it was last revoked.
    bool actorLive;
    /// @dev Current generation of the agent.
    uint64 actorGeneration;
}

/// @title Who may mint, for whom
/// @notice Operators, the agents (actors) they own, and the device keys that serve them.
/// @dev Vocabulary. *Omni*: SHA-256 name of an operator or actor, always computed here, from `msg.sender` and the label;
/// nobody supplies one to be stored. *Master*: the one account that acts for an operator. *Device key hash*: keccak256 of
/// the 20 bytes of a key's address. *Generation*: a counter per agent (raised by {revokeActor}) and per operator (raised by
/// {acceptOperator}); a device counts only while the counter it was registered under stands.
///
/// There is no owner, no administrator and no upgrade: an operator is changed by its master only, or stopped by
/// {freeze}. All times are Unix seconds; generations and nonces start at 0. Signatures are EIP-712 under the domain
/// `{ name: "AgentKeys", version: "2", chainId, verifyingContract: this }`, exactly 65 bytes r ‖ s ‖ v with v 27 or 28 and
/// low s; anything else reverts `ECDSAInvalidSignatureLength`, `ECDSAInvalidSignatureS` or `ECDSAInvalidSignature`.
interface ISidecarRegistry {
    // ------------------------------------------------------------------------------------------------------- events

    /// @notice Emitted when an account becomes master of the operator computed from its address.
    event OperatorRegistered(bytes32 indexed operatorOmni, address indexed master);

    /// @notice Emitted when a device key is bound. `actorOmni` is `operatorOmni` for a MASTER-tier device.
    event DeviceRegistered(
        bytes32 indexed operatorOmni,
        bytes32 indexed actorOmni,
        bytes32 indexed deviceKeyHash,
        address key,
        uint8 roles,
        uint8 tier,
        uint64 generation,
        bytes32 k11CredId,
        bytes32 attestationHash
    );

    /// @notice Emitted, before the device, when an agent is registered for the first time, or again after {revokeActor}.
    event ActorRegistered(bytes32 indexed operatorOmni, bytes32 indexed actorOmni, string label, uint64 generation);

    /// @notice Emitted after both {DeviceRevoked} for the old key and {DeviceRegistered} for the new one.
    event DeviceRotated(
        bytes32 indexed operatorOmni,
        bytes32 indexed actorOmni,
        bytes32 indexed oldDeviceKeyHash,
        bytes32 newDeviceKeyHash
    );

    /// @notice Emitted when one device ends, by {revokeDevice} or {rotateDevice}.
    event DeviceRevoked(bytes32 indexed operatorOmni, bytes32 indexed actorOmni, bytes32 indexed deviceKeyHash);

    /// @notice Emitted when every device and grant of an agent ends; `generation` is the new one.
    event ActorRevoked(bytes32 indexed operatorOmni, bytes32 indexed actorOmni, uint64 generation);

    /// @notice Emitted when an operator is stopped; `freezeNonce` is the one the order used up.
    event OperatorFrozen(bytes32 indexed operatorOmni, bytes32 indexed deviceKeyHash, uint64 freezeNonce);

    /// @notice Emitted when the master lifts a freeze; `freezeNonce` is the next one to sign.
    event OperatorUnfrozen(bytes32 indexed operatorOmni, uint64 freezeNonce);

    /// @notice Emitted when the master names its successor, who may accept from `acceptableAt` on.
    event TransferAnnounced(
        bytes32 indexed operatorOmni,
        address indexed master,
        address indexed newMaster,
        uint256 acceptableAt
    );

    /// @notice Emitted when the master withdraws an announced transfer.
    event TransferCancelled(bytes32 indexed operatorOmni, address indexed master, address indexed newMaster);

    /// @notice Emitted when the successor takes over; `generation` is the operator's new one.
    event OperatorTransferred(
        bytes32 indexed operatorOmni,
        address indexed oldMaster,
        address indexed newMaster,
        uint64 generation
    );

    // ------------------------------------------------------------------------------------------------------- errors

    /// @notice Thrown when the caller is not the master of any operator.
    error NotMaster(address caller);

    /// @notice Thrown when the account already is, or once was, master of `operatorOmni`: one operator per account.
    error AccountAlreadyUsed(address account, bytes32 operatorOmni);

    /// @notice Thrown when nobody registered this operator.
    error OperatorUnknown(bytes32 operatorOmni);

    /// @notice Thrown when the operator is frozen and the call would add authority, or would freeze it again.
    error OperatorIsFrozen(bytes32 operatorOmni);

    /// @notice Thrown when there is no freeze to lift.
    error OperatorNotFrozen(bytes32 operatorOmni);

    /// @notice Thrown when the block's time is after the signed deadline.
    error DeadlinePassed(uint256 deadline, uint256 blockTime);

    /// @notice Thrown when the signed deadline lies further ahead than `latest`.
    error DeadlineTooFar(uint256 deadline, uint256 latest);

    /// @notice Thrown when a well-formed signature was not made by the key over exactly this message.
    error SignerMismatch(address expected, address recovered);

    /// @notice Thrown when a role bitmap is zero or has a bit above SCOPE_MGMT.
    error InvalidRoles(uint8 roles);

    /// @notice Thrown when a label does not match `^[a-z0-9-]{1,32}$`.
    error InvalidLabel(string label);

    /// @notice Thrown when a hash was registered before, by anyone, also if it has ended since.
    error DeviceAlreadyRegistered(bytes32 deviceKeyHash);

    /// @notice Thrown when a hash was never registered.
    error DeviceNotRegistered(bytes32 deviceKeyHash);

    /// @notice Thrown when the device was revoked, rotated away, or ended with its actor or its operator's transfer.
    error DeviceNotActive(bytes32 deviceKeyHash);

    /// @notice Thrown when the device serves another operator.
    error DeviceNotOfOperator(bytes32 deviceKeyHash, bytes32 operatorOmni);

    /// @notice Thrown when the device neither is the actor's own nor a MASTER-tier device of the actor's operator.
    error DeviceBindingMismatch(bytes32 deviceKeyHash, bytes32 operatorOmni, bytes32 actorOmni);

    /// @notice Thrown when the device lacks one of the roles of the bitmap `role`.
    error DeviceRoleMissing(bytes32 deviceKeyHash, uint8 role);

    /// @notice Thrown when a freeze order comes from a device that is not MASTER tier.
    error DeviceNotMasterTier(bytes32 deviceKeyHash);

    /// @notice Thrown when the omni is not that of an agent of this operator.
    error ActorNotOfOperator(bytes32 actorOmni, bytes32 operatorOmni);

    /// @notice Thrown when the agent has not been registered again since it was revoked.
    error ActorNotLive(bytes32 actorOmni);

    /// @notice Thrown when a transfer names the zero address.
    error InvalidNewMaster(address newMaster);

    /// @notice Thrown when no transfer is announced.
    error NoTransferAnnounced(bytes32 operatorOmni);

    /// @notice Thrown when somebody else than the announced successor accepts.
    error NotNewMaster(address caller, address newMaster);

    /// @notice Thrown when a transfer is accepted before its 48 hours are over.
    error TransferTooEarly(uint256 blockTime, uint256 acceptableAt);

    /// @notice Thrown when the master says by `IMasterAccount.recoveryPending` that guardians are recovering it.
    error RecoveryIsPending(address master);

    // -------------------------------------------------------------------------------------------- operators: changes

    /// @notice Makes the caller master of the operator computed from its own address.
    /// @dev Anyone, once, for ever. Reverts {AccountAlreadyUsed} when the caller has or ever had an operator.
    /// @return operatorOmni SHA-256("agentkeys" ‖ "evm" ‖ the caller's address as 42 lowercase ASCII bytes).
    function registerOperator() external returns (bytes32 operatorOmni);

    // ---------------------------------------------------------------------------------------------- devices: changes

    /// @notice Binds a device of the operator itself: tier MASTER, actor = operator.
    /// @dev Master only. Reverts {NotMaster}, {OperatorIsFrozen}, {InvalidRoles}, {DeadlinePassed}, {DeadlineTooFar},
    /// {SignerMismatch} and the `ECDSA…` errors, {DeviceAlreadyRegistered}.
    /// @param key The secp256k1 address of the device key.
    /// @param roles Bitmap CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4, not zero.
    /// @param k11CredId Information only: the passkey that approved it; zero when not told.
    /// @param attestationHash Information only: signed by the key; zero when there is none.
    /// @param deadline Unix seconds, not passed and at most a day ahead.
    /// @param popSig `key`'s signature over {deviceBindingDigest} (operator, operator, key, roles, attestationHash, deadline).
    /// @return deviceKeyHash keccak256 of the 20 bytes of `key`.
    function registerMasterDevice(
        address key,
        uint8 roles,
        bytes32 k11CredId,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash);

    /// @notice Binds a device of an agent: tier AGENT, role CAP_MINT only. Makes the agent live if it is not.
    /// @dev Master only. Several devices may serve one agent. An agent that was revoked starts again with nothing.
    /// Reverts {NotMaster}, {OperatorIsFrozen}, {InvalidLabel}, {DeadlinePassed}, {DeadlineTooFar}, {SignerMismatch} and the
    /// `ECDSA…` errors, {DeviceAlreadyRegistered}.
    /// @param label `^[a-z0-9-]{1,32}$`.
    /// @param key The secp256k1 address of the device key.
    /// @param attestationHash Information only: signed by the key; zero when there is none.
    /// @param deadline Unix seconds, not passed and at most a day ahead.
    /// @param popSig `key`'s signature over {deviceBindingDigest} (operator, actor, key, 1, attestationHash, deadline).
    /// @return actorOmni {computeActorOmni} of the caller's operator and the label.
    /// @return deviceKeyHash keccak256 of the 20 bytes of `key`.
    function registerAgentDevice(
        string calldata label,
        address key,
        bytes32 attestationHash,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 actorOmni, bytes32 deviceKeyHash);

    /// @notice Replaces a device by a new key with the same actor, tier, roles and k11CredId; the old one ends at once.
    /// @dev Master only. The new device has no attestation hash. Reverts {NotMaster}, {OperatorIsFrozen},
    /// {DeviceNotRegistered}, {DeviceNotOfOperator}, {DeviceNotActive} for the old one, and like the registrations for the
    /// new one.
    /// @param oldDeviceKeyHash An active device of the caller's operator.
    /// @param newKey The secp256k1 address of the new device key.
    /// @param deadline Unix seconds, not passed and at most a day ahead.
    /// @param popSig `newKey`'s signature over {deviceBindingDigest} (operator, actor, newKey, roles, 0, deadline).
    /// @return deviceKeyHash keccak256 of the 20 bytes of `newKey`.
    function rotateDevice(
        bytes32 oldDeviceKeyHash,
        address newKey,
        uint256 deadline,
        bytes calldata popSig
    ) external returns (bytes32 deviceKeyHash);

    /// @notice Ends one device, for ever.
    /// @dev Master only, also while frozen, also the last device. Reverts {NotMaster}, {DeviceNotRegistered},
    /// {DeviceNotOfOperator}, {DeviceNotActive} when it was revoked one by one before.
    function revokeDevice(bytes32 deviceKeyHash) external;

    /// @notice Ends every device and every grant of an agent at once, in constant gas.
    /// @dev Master only, also while frozen. Reverts {NotMaster}, {ActorNotOfOperator} (also for the operator's own omni,
    /// whose devices are revoked one by one), {ActorNotLive}.
    function revokeActor(bytes32 actorOmni) external;

    // -------------------------------------------------------------------------------------- freeze and transfer

    /// @notice Stops an operator: until {unfreeze}, registering, rotating and granting revert and every access is refused.
    /// @dev Anyone may submit. Revoking, transferring and unfreezing keep working. Uses up the operator's freeze nonce.
    /// Reverts {OperatorUnknown}, {OperatorIsFrozen}, {DeadlinePassed}, {DeadlineTooFar}, {DeviceNotRegistered},
    /// {DeviceNotOfOperator}, {DeviceNotMasterTier}, {DeviceNotActive}, {DeviceRoleMissing}, {SignerMismatch} and the
    /// `ECDSA…` errors.
    /// @param operatorOmni The operator to stop.
    /// @param deviceKeyHash An active MASTER-tier device of it with the role RECOVERY.
    /// @param deadline Unix seconds, not passed and at most an hour ahead.
    /// @param sig The device's signature over {freezeDigest} with the current {freezeNonce}.
    function freeze(bytes32 operatorOmni, bytes32 deviceKeyHash, uint256 deadline, bytes calldata sig) external;

    /// @notice Lifts the freeze of the caller's operator and raises its freeze nonce, so that orders signed so far are void.
    /// @dev Master only. Reverts {NotMaster}, {OperatorNotFrozen}.
    function unfreeze() external;

    /// @notice Announces that the caller's operator passes to another account 48 hours from now.
    /// @dev Master only; announcing again replaces the successor and starts the 48 hours anew. Reverts {NotMaster},
    /// {InvalidNewMaster} for zero, {AccountAlreadyUsed} when the successor has or had an operator (itself included),
    /// {RecoveryIsPending}.
    function transferOperator(address newMaster) external;

    /// @notice Takes over an announced operator: omni, agents and grants stay, every MASTER-tier device ends.
    /// @dev The announced account only, from exactly 48 hours after the announcement on. A freeze stays until the new master
    /// lifts it. The old account can never be a master again. Reverts {NoTransferAnnounced}, {NotNewMaster},
    /// {TransferTooEarly}, {AccountAlreadyUsed}, {RecoveryIsPending} for the old master.
    function acceptOperator(bytes32 operatorOmni) external;

    /// @notice Withdraws the announced transfer of the caller's operator.
    /// @dev Master only. Reverts {NotMaster}, {NoTransferAnnounced}.
    function cancelTransfer() external;

    // -------------------------------------------------------------------------------------------------------- views

    /// @notice Everything stored about one device; zeros for an unknown hash.
    function getDevice(bytes32 deviceKeyHash) external view returns (Device memory);

    /// @notice Registered, not revoked, and of its actor's (AGENT) or operator's (MASTER) current generation.
    /// @dev Says nothing about a freeze: {isFrozen}.
    function isActive(bytes32 deviceKeyHash) external view returns (bool);

    /// @notice The account that acts for an operator; zero for an unknown one.
    function masterOf(bytes32 operatorOmni) external view returns (address);

    /// @notice The operator whose master the account is now; zero when there is none, also after a transfer.
    function omniOf(address account) external view returns (bytes32 operatorOmni);

    /// @notice The operator that owns an actor, for ever, live or not; an operator owns its own omni; zero when unknown.
    function operatorOf(bytes32 actorOmni) external view returns (bytes32 operatorOmni);

    /// @notice Current generation of an agent, or of an operator for its own omni; 0 when unknown.
    function actorGeneration(bytes32 actorOmni) external view returns (uint64);

    /// @notice True for an agent that was registered, and registered again since it was last revoked; true for the own
    /// omni of a registered operator.
    function isLive(bytes32 actorOmni) external view returns (bool);

    /// @notice The device key hashes ever registered by an operator, oldest first, ended ones included.
    /// @dev The list only grows, so a position never changes its meaning.
    /// @param cursor Position to start at, 0 for the first.
    /// @param size At most so many.
    /// @return deviceKeyHashes Shorter than `size` exactly when the end is reached.
    /// @return nextCursor `cursor` plus the number returned: where to go on, now or when more have been registered.
    function devicesOf(
        bytes32 operatorOmni,
        uint256 cursor,
        uint256 size
    ) external view returns (bytes32[] memory deviceKeyHashes, uint256 nextCursor);

    /// @notice True while a freeze stands; false for an unknown operator.
    function isFrozen(bytes32 operatorOmni) external view returns (bool);

    /// @notice The nonce that the next freeze order must sign, from 0.
    function freezeNonce(bytes32 operatorOmni) external view returns (uint64);

    /// @notice EIP-712 digest of `DeviceBinding(bytes32 operatorOmni,bytes32 actorOmni,address deviceKey,uint8 roles,
    /// bytes32 attestationHash,uint256 deadline)`, what a new device signs.
    function deviceBindingDigest(
        bytes32 operatorOmni,
        bytes32 actorOmni,
        address deviceKey,
        uint8 roles,
        bytes32 attestationHash,
        uint256 deadline
    ) external view returns (bytes32);

    /// @notice EIP-712 digest of `Freeze(bytes32 operatorOmni,bytes32 deviceKeyHash,uint64 freezeNonce,uint256 deadline)`.
    function freezeDigest(
        bytes32 operatorOmni,
        bytes32 deviceKeyHash,
        uint64 nonce,
        uint256 deadline
    ) external view returns (bytes32);

    /// @notice Recovers the device that signed a digest and applies every rule about it, in the protocol's order.
    /// @dev Registered, active, its operator not frozen, every role of `role`, and bound: it is the actor's own device
    /// (self), or a MASTER-tier device of the operator that owns the live agent (parent; the caller decides what a parent
    /// may do, `getDevice(hash).actorOmni != actorOmni` tells). Reverts with the `ECDSA…` errors, {InvalidRoles},
    /// {DeviceNotRegistered}, {DeviceNotActive}, {OperatorIsFrozen}, {DeviceRoleMissing}, {DeviceBindingMismatch}.
    /// @param digest The 32 bytes signed; the caller binds them to a message, a chain and a use.
    /// @param sig 65 bytes r ‖ s ‖ v.
    /// @param operatorOmni The operator that the message names.
    /// @param actorOmni The actor that the message names.
    /// @param role Bitmap of the roles that are needed, not zero.
    /// @return deviceKeyHash The device that signed.
    function checkPop(
        bytes32 digest,
        bytes calldata sig,
        bytes32 operatorOmni,
        bytes32 actorOmni,
        uint8 role
    ) external view returns (bytes32 deviceKeyHash);

    /// @notice What an access decision needs about a device and the operator and actor it is asked for.
    /// @dev Never reverts; unknown ids give zeros. Binding 1 (self): the device's operator and actor are those asked for.
    /// Binding 2 (parent): an active MASTER-tier device, the operator asked for is the device's own, owns the agent, and the
    /// agent is live. Cost does not depend on how many devices or agents there are. Values on the stack, because a struct
    /// would cost a tenth of the whole decision.
    /// @return active Registered, not revoked one by one, and of the current generation: {isActive}.
    /// @return operatorNotFrozen The operator that the device itself belongs to is not frozen.
    /// @return roles Bitmap CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4; 0 exactly for an unknown hash.
    /// @return binding 0 none, 1 self, 2 parent.
    /// @return actorGeneration Current generation of the actor asked for; 0 without a binding.
    function deviceFacts(
        bytes32 deviceKeyHash,
        bytes32 operatorOmni,
        bytes32 actorOmni
    ) external view returns (bool active, bool operatorNotFrozen, uint8 roles, uint8 binding, uint64 actorGeneration);

    /// @notice What a grant by `account` to an agent needs. Never reverts; unknown ids give zeros.
    function granteeFacts(address account, bytes32 actorOmni) external view returns (GranteeFacts memory);

    /// @notice The EIP-712 domain separator of this contract on this chain.
    function domainSeparator() external view returns (bytes32);

    /// @notice SHA-256("agentkeys" ‖ "evm" ‖ the address as 42 lowercase ASCII bytes).
    function computeOperatorOmni(address account) external pure returns (bytes32);

    /// @notice SHA-256("agentkeys-hdkd-v1" ‖ operatorOmni ‖ "//" ‖ label). Reverts {InvalidLabel}.
    function computeActorOmni(bytes32 operatorOmni, string calldata label) external pure returns (bytes32);
}
