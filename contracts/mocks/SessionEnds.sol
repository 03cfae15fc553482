// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title A session validator that only counts how often an account ended its sessions
/// @notice For tests; never deployed elsewhere.
contract SessionEnds {
    /// @notice How often the account called {revokeAll}.
    mapping(address account => uint256 count) public endsOf;

    /// @notice As `ISessionKeyValidator.revokeAll`.
    function revokeAll() external {
        ++endsOf[msg.sender];
    }
}
