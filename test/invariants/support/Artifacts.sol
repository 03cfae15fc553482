// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { vm } from "./Vm.sol";

/// @title The contracts as Hardhat compiled them, and the EntryPoint as its npm package ships it
/// @dev Nothing under test is compiled here: what runs is the bytecode that is deployed, and GPL sources stay outside.
library Artifacts {
    string private constant ENTRY_POINT = "node_modules/@account-abstraction/contracts/artifacts/EntryPoint.json";

    /// @param file Below artifacts/contracts, as "registry/ScopeRegistry".
    /// @param arguments abi.encode of the constructor's.
    function deploy(string memory file, bytes memory arguments) internal returns (address) {
        uint256 slash = 0;
        for (uint256 i = 0; i < bytes(file).length; ++i) if (bytes(file)[i] == "/") slash = i + 1;
        bytes memory name = new bytes(bytes(file).length - slash);
        for (uint256 i = 0; i < name.length; ++i) name[i] = bytes(file)[slash + i];
        return _create(string.concat("artifacts/contracts/", file, ".sol/", string(name), ".json"), arguments);
    }

    /// @notice EntryPoint v0.8.
    function entryPoint() internal returns (address) {
        return _create(ENTRY_POINT, "");
    }

    function _create(string memory path, bytes memory arguments) private returns (address deployed) {
        bytes memory code = bytes.concat(vm.parseJsonBytes(vm.readFile(path), ".bytecode"), arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        require(deployed != address(0), string.concat("not deployed: ", path));
    }
}
