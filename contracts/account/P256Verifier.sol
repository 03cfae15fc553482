// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/**
 * @title P-256 verification for chains without the precompile
 * @notice Takes exactly the input of the precompile of EIP-7951 and RIP-7212 (hash ‖ r ‖ s ‖ x ‖ y, 160 bytes) and answers
 * in its form: 32 bytes of one when the signature is valid, nothing otherwise. Never reverts.
 * @dev High `s` is refused, which the precompile accepts: accounts refuse it as well. See
 * docs/decisions/0003-p256-verifier.md.
 */
contract P256Verifier {
    /// @notice Verifies; see the contract's own words for input and answer.
    fallback(bytes calldata input) external returns (bytes memory answer) {
        if (input.length != 160) return "";
        (bytes32 hash, bytes32 r, bytes32 s, bytes32 x, bytes32 y) = abi.decode(
            input,
            (bytes32, bytes32, bytes32, bytes32, bytes32)
        );
        return P256.verifySolidity(hash, r, s, x, y) ? abi.encode(uint256(1)) : bytes("");
    }
}
