// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { vm } from "./Vm.sol";

/// @title What every handler has: acts, counters, time, and a way to call that never reverts
/// @dev All arguments of an act are plain words, so that the walk of {InvariantTest} can call any act with random ones.
abstract contract Handler {
    /// @notice How often an act, or a variant of it, got through. Key: its name.
    mapping(string name => uint256) public passed;

    /// @notice How often any act got through.
    uint256 public passedInAll;

    /// @notice What must never have happened; empty while it has not.
    string public violation;

    /// @notice The acts that forge calls.
    function acts() external pure virtual returns (bytes4[] memory);

    /// @notice The names in {passed} that must not stay at zero.
    function counted() external pure virtual returns (string[] memory);

    /// @notice Reverts, with the sentence, where a property does not hold.
    function check() external view {
        require(bytes(violation).length == 0, violation);
        _checkAll();
    }

    /// @notice Time passes: seconds to six days.
    function warp(uint256 seconds_) external {
        uint256[5] memory spans = [uint256(1), 59 minutes, 13 hours, 49 hours, 6 days];
        vm.warp(block.timestamp + spans[seconds_ % 5] + ((seconds_ >> 8) % 60));
    }

    function _checkAll() internal view virtual;

    function _count(string memory name) internal {
        ++passed[name];
        ++passedInAll;
    }

    function _mustNot(bool happened, string memory what) internal {
        if (happened) violation = what;
    }

    /// @dev A call in somebody's name. The names of honest and hostile callers are the caller's business.
    function _callAs(address sender, address to, bytes memory data) internal returns (bool ok) {
        vm.prank(sender);
        (ok, ) = to.call(data);
    }

    function _word(uint256 seed, uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, index)));
    }

    /// @dev One of `bound` numbers from 0 up.
    function _pick(uint256 seed, uint256 index, uint256 bound) internal pure returns (uint256) {
        return _word(seed, index) % bound;
    }
}
