// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @title Many calls of a P-256 verifier in one, and what another implementation says to the same inputs
/// @notice For tests; never deployed elsewhere.
contract P256Batch {
    /// @notice Thrown when a call failed, or was answered with anything but nothing or 32 bytes of one.
    /// @param index Which call.
    /// @param success Whether it succeeded.
    /// @param answer What it answered.
    error UnexpectedAnswer(uint256 index, bool success, bytes answer);

    /// @notice Calls `verifier` once for each input.
    /// @param verifier A contract with the interface of the precompile.
    /// @param inputs The inputs, each as it is sent.
    /// @return valid For each input whether the answer was one.
    /// @return mostGas The most gas that one of the calls used, the call itself included.
    function verify(
        address verifier,
        bytes[] calldata inputs
    ) external view returns (bool[] memory valid, uint256 mostGas) {
        valid = new bool[](inputs.length);
        for (uint256 i = 0; i < inputs.length; ++i) {
            uint256 before = gasleft();
            (bool success, bytes memory answer) = verifier.staticcall(inputs[i]);
            uint256 used = before - gasleft();
            if (used > mostGas) mostGas = used;
            valid[i] = answer.length == 32 && bytes32(answer) == bytes32(uint256(1));
            if (!success || (!valid[i] && answer.length != 0)) revert UnexpectedAnswer(i, success, answer);
        }
    }

    /// @notice OpenZeppelin's answers to the same inputs of 160 bytes each.
    /// @param inputs The inputs.
    /// @return valid For each input whether it is a valid signature with a low `s`.
    function verifyByOpenZeppelin(bytes[] calldata inputs) external view returns (bool[] memory valid) {
        valid = new bool[](inputs.length);
        for (uint256 i = 0; i < inputs.length; ++i) {
            (bytes32 hash, bytes32 r, bytes32 s, bytes32 x, bytes32 y) = abi.decode(
                inputs[i],
                (bytes32, bytes32, bytes32, bytes32, bytes32)
            );
            valid[i] = P256.verifySolidity(hash, r, s, x, y);
        }
    }
}
