// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What accounts call and pay: writes down who came, and with how much
/// @dev Told to, it tries to come back into the caller before it returns.
contract Sink {
    mapping(address caller => uint256) public calls;
    mapping(address caller => uint256) public received;

    /// @notice How many attempts to re-enter got through.
    uint256 public reentered;

    fallback() external payable {
        ++calls[msg.sender];
        received[msg.sender] += msg.value;
    }

    receive() external payable {
        ++calls[msg.sender];
        received[msg.sender] += msg.value;
    }

    /// @notice Counts like every other call, and makes `attempts` to the caller.
    function reenter(bytes[] calldata attempts) external payable {
        ++calls[msg.sender];
        received[msg.sender] += msg.value;
        for (uint256 i = 0; i < attempts.length; ++i) {
            (bool ok, ) = msg.sender.call(attempts[i]);
            if (ok) ++reentered;
        }
    }
}
