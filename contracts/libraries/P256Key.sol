// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";

import { IMasterAccount } from "../interfaces/IMasterAccount.sol";

/// @title Which public keys an account takes
/// @notice One check, at creation and when a passkey is added.
library P256Key {
    /// @notice Reverts with `IMasterAccount.PublicKeyInvalid` unless (x, y) is a point of P-256 with coordinates below
    /// the prime. The two points with x = 0 are refused too: nobody knows their private key, and storage says "none"
    /// by x = 0.
    /// @param x Affine x.
    /// @param y Affine y.
    function requireValid(bytes32 x, bytes32 y) internal pure {
        if (x == 0 || !P256.isValidPublicKey(x, y)) revert IMasterAccount.PublicKeyInvalid(x, y);
    }
}
