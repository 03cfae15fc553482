// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Says whether a recovery is pending as it is told to.
contract RecoveryDouble {
    mapping(address account => bool) public isPending;

    function isConfigured(address) external pure returns (bool) {
        return false;
    }

    function set(address account, bool pending) external {
        isPending[account] = pending;
    }
}

/// @notice The least of a token: balances and allowances that may be read afterwards, and some amounts it refuses.
contract TokenDouble {
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => uint256) public approved;
    mapping(address holder => uint256) public sent;

    function mint(address holder, uint256 amount) external {
        balanceOf[holder] += amount;
    }

    function isRefused(uint256 amount) public pure returns (bool) {
        return amount % 3 == 1;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        require(!isRefused(amount), "refused");
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        sent[msg.sender] += amount;
        return true;
    }

    /// @dev Adds up every amount that was ever approved, as a session's limit does.
    function approve(address, uint256 amount) external returns (bool) {
        approved[msg.sender] += amount;
        return true;
    }
}
