// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Pays for operators' user operations, within budgets that are counted on chain
/// @notice An operation is paid for when a sponsor signed it and the budget of its sender has its greatest cost left.
/// @dev A budget is the sender's, by the address of the master account and not by the operator's omni: the operation that
/// creates account and operator in one tap is to be paid for when the chain does not know its omni yet, and reading the
/// registry during validation would break ERC-7562. For the same reason validation does not read the clock. `validUntil`
/// names the window that is charged, and the bounds of that window go back to the EntryPoint, which alone compares them
/// with the time (in v0.8 nothing is paid in a window's first second: its `validAfter` is a second stricter than v0.7's).
///
/// `paymasterAndData` is exactly 129 bytes: paymaster (20) ‖ uint128 verification gas ‖ uint128 post-operation gas ‖
/// uint48 validAfter ‖ uint48 validUntil ‖ r ‖ s ‖ v, the signature being a sponsor's over the EIP-712 struct
/// `UserOperationRequest` (OpenZeppelin's PaymasterSigner): every field of the operation but the two signatures. Its
/// domain is "AgentKeys OperatorPaymaster", version "1", this chain and this contract, which obeys one EntryPoint.
interface IOperatorPaymaster {
    /// @notice What an operator may cost.
    struct Budget {
        /// @dev Wei in one window; 0: nothing is paid.
        uint128 perWindow;
        /// @dev Length of a window in seconds. Windows are counted from Unix time 0.
        uint32 windowSeconds;
        /// @dev Unix seconds, the last second in which anything is paid.
        uint48 validUntil;
    }

    /// @notice Emitted when an account's budget is set.
    event BudgetSet(address indexed account, uint128 perWindow, uint32 windowSeconds, uint48 validUntil);

    /// @notice Emitted when an address becomes a sponsor.
    event SponsorAdded(address indexed sponsor);

    /// @notice Emitted when an address is no sponsor any longer.
    event SponsorRemoved(address indexed sponsor);

    /// @notice Thrown when an operation may cost more than is left of its sender's budget in the window it names.
    /// Amounts in wei; nothing is left where there is no budget.
    error BudgetExceeded(address account, uint256 left, uint256 maxCost);

    /// @notice Thrown when a budget has no account, no window, or an end that is past or at 2^47 or later.
    error InvalidBudget(address account, uint32 windowSeconds, uint48 validUntil);

    /// @notice Thrown when the sponsor to be added is the zero address or is one already.
    error InvalidSponsor(address sponsor);

    /// @notice Thrown when the sponsor to be removed is none.
    error NotSponsor(address sponsor);

    /// @notice Thrown when the owner would leave deposit and stake without one.
    error OwnershipNotRenounceable();

    /// @notice Whether the address may sign for the paymaster.
    function isSponsor(address sponsor) external view returns (bool);

    /// @notice The budget of an account, all zero where it never had one.
    function budgetOf(address account) external view returns (Budget memory);

    /// @notice What is left of an account's budget in the window of a time.
    /// @param account The master account, deployed or not.
    /// @param time Unix seconds; not before the present: nothing is left of an earlier window.
    /// @return Wei. What operations under way have reserved is not left.
    function leftIn(address account, uint48 time) external view returns (uint256);

    /// @notice Sets an account's budget. What the present window has spent stays spent, also when its length changes.
    /// @dev The owner only. Reverts `OwnableUnauthorizedAccount`, {InvalidBudget}.
    /// @param account The master account, deployed or not.
    /// @param perWindow Wei in one window; 0 stops paying at once, signatures that are out included.
    /// @param windowSeconds Length of a window, not 0.
    /// @param validUntil Unix seconds, in the future and below 2^47.
    function setBudget(address account, uint128 perWindow, uint32 windowSeconds, uint48 validUntil) external;

    /// @notice Lets an address sign. Several may at once: a key is rotated by adding the new one and, when the last
    /// signature of the old one is out of use, removing that.
    /// @dev The owner only. Reverts `OwnableUnauthorizedAccount`, {InvalidSponsor}.
    function addSponsor(address sponsor) external;

    /// @notice Ends an address' signing at once, signatures that are out included.
    /// @dev The owner only. Reverts `OwnableUnauthorizedAccount`, {NotSponsor}.
    function removeSponsor(address sponsor) external;

    /// @notice Adds to what the paymaster can pay. Anyone may.
    function deposit() external payable;

    /// @notice Takes from what the paymaster can pay. The owner only.
    /// @param to Whom the wei go to.
    /// @param amount Wei.
    function withdraw(address payable to, uint256 amount) external;

    /// @notice Adds stake, which lets bundlers accept that validation writes the paymaster's storage. The owner only.
    /// @param unstakeDelay Seconds between {unlockStake} and {withdrawStake}; never shorter than before.
    function addStake(uint32 unstakeDelay) external payable;

    /// @notice Starts the delay after which the stake can be withdrawn; bundlers stop serving. The owner only.
    function unlockStake() external;

    /// @notice Takes the whole stake after the delay. The owner only.
    /// @param to Whom the wei go to.
    function withdrawStake(address payable to) external;
}
