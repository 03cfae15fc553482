// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ERC7913WebAuthnVerifier } from "@openzeppelin/contracts/utils/cryptography/verifiers/ERC7913WebAuthnVerifier.sol";

/// @title Passkeys as guardians
/// @notice OpenZeppelin's ERC-7913 verifier as it is. A guardian is this contract's address ‖ x ‖ y of the passkey, its
/// signature what the account takes from a passkey (`IMasterAccount`) without its first word, over the EIP-712 digest.
contract WebAuthnGuardian is ERC7913WebAuthnVerifier {}
