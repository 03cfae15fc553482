// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Handler } from "./Handler.sol";

/// @title One campaign: a handler that acts, and what must hold after each of its acts
/// @dev Forge calls `targetContracts` and `targetSelectors` to learn whom it may call.
abstract contract InvariantTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev The walk below: 40 worlds, 100 acts in each.
    uint256 private constant WORLDS = 40;
    uint256 private constant ACTS = 100;

    Handler public handler;

    function newHandler() internal virtual returns (Handler);

    function setUp() external {
        handler = newHandler();
    }

    function invariant_holds() external view {
        handler.check();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), handler.acts());
    }

    /// @notice Every act gets through in some order, honest and hostile: no property holds because nothing happened.
    function test_everyActGetsThrough() external {
        string[] memory names = handler.counted();
        uint256[] memory passed = new uint256[](names.length);
        for (uint256 world = 0; world < WORLDS; ++world) {
            Handler acting = newHandler();
            _walk(acting, world);
            for (uint256 i = 0; i < names.length; ++i) passed[i] += acting.passed(names[i]);
        }
        for (uint256 i = 0; i < names.length; ++i) {
            require(passed[i] > 0, string.concat("never got through: ", names[i]));
        }
    }

    function _walk(Handler acting, uint256 world) private {
        bytes4[] memory acts = acting.acts();
        for (uint256 step = 0; step < ACTS; ++step) {
            uint256 seed = uint256(keccak256(abi.encode(world, step)));
            (bool ok, bytes memory reason) = address(acting).call(
                abi.encodePacked(acts[seed % acts.length], keccak256(abi.encode(seed)))
            );
            require(ok, string.concat("an act reverted: ", string(reason)));
        }
        acting.check();
    }
}
