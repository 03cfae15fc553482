// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What session operations call in tests: a recorder of calls
/// @notice Notes every call that it gets; never deployed elsewhere.
contract CallRecorder {
    /// @notice One call as it arrived.
    struct Recorded {
        address from;
        uint256 value;
        bytes data;
    }

    Recorded[] private _calls;

    /// @notice Takes any call with data.
    fallback() external payable {
        _calls.push(Recorded(msg.sender, msg.value, msg.data));
    }

    /// @notice Takes any call without.
    receive() external payable {
        _calls.push(Recorded(msg.sender, msg.value, ""));
    }

    /// @notice Every call since deployment, in order.
    function recordedCalls() external view returns (Recorded[] memory) {
        return _calls;
    }
}
