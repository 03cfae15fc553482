// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The cheatcodes that the invariants use. https://getfoundry.sh/reference/cheatcodes/overview
interface Vm {
    function addr(uint256 privateKey) external pure returns (address);
    function deal(address account, uint256 balance) external;
    function label(address account, string calldata name) external;
    function parseJsonBytes(string calldata json, string calldata path) external pure returns (bytes memory);
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function publicKeyP256(uint256 privateKey) external pure returns (uint256 x, uint256 y);
    function readFile(string calldata path) external view returns (string memory);
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function signP256(uint256 privateKey, bytes32 digest) external pure returns (bytes32 r, bytes32 s);
    function warp(uint256 timestamp) external;
}

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
