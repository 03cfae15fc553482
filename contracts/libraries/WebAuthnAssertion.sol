// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The account's WebAuthn check: one assertion, one canonical encoding, one answer
/// @notice Encoding: `bytes32 credIdHash ‖ abi.encode(bytes32 r, bytes32 s, uint256 challengeIndex, uint256 typeIndex,
/// bytes authenticatorData, string clientDataJSON)`, the second part being OpenZeppelin's `WebAuthn.WebAuthnAuth`.
/// Every byte has one allowed value given the assertion: the members in that order without gaps, padding zero, nothing
/// behind, `typeIndex` 1 and `challengeIndex` 23 (the only places where they can be).
/// @dev Not checked, and why: the origin (the authenticator binds the credential to `rpIdHash`, which is checked); the
/// signature counter (it would need a write per operation, and synced passkeys answer 0); extensions; whatever members
/// follow the challenge in the client data.
///
/// An assertion that is well formed always reaches the verifier, also when a cheap check has already failed: a gas
/// estimate made with a dummy signature must not be lower than what the real one costs.
/// Source: https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion
library WebAuthnAssertion {
    /// @dev Thrown when the verifier or SHA-256 ran out of gas (neither fails otherwise): an estimate that gives too
    /// little gas must not look like a wrong signature.
    error VerificationOutOfGas();

    /// @notice The longest signature that is looked at, bytes; it bounds the cost of a hostile one.
    uint256 internal constant MAX_LENGTH = 8192;

    /// @dev Order of P-256 less one, and half of it rounded down.
    uint256 private constant N_MINUS_1 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550;
    uint256 private constant HALF_N = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8;

    /// @notice Whether `signature` is an assertion over `challenge` by the key (`x`, `y`) for the relying party.
    /// @param challenge 32 bytes that the client data carries in base64url.
    /// @param signature The encoding above, its first word included (and not looked at).
    /// @param rpIdHash SHA-256 of the relying party id.
    /// @param verifier Takes `hash ‖ r ‖ s ‖ x ‖ y`, answers exactly 32 bytes of 1 for a valid signature.
    /// @return valid False for everything else, malformed input included.
    function verify(
        bytes32 challenge,
        bytes calldata signature,
        bytes32 rpIdHash,
        bytes32 x,
        bytes32 y,
        address verifier
    ) internal view returns (bool valid) {
        if (!isWellFormed(signature)) return false;
        uint256 encodedStart = _base64url(uint256(challenge) >> 64);
        // characters 12 to 42 and an "A" for the eight zero bits behind the challenge
        uint256 encodedEnd = _base64url((uint256(challenge) << 8) & (2 ** 192 - 1));
        assembly ("memory-safe") {
            let o := signature.offset
            let ad := add(o, 0x100)
            let adLength := calldataload(add(o, 0xe0))
            let cd := add(add(o, 0x40), calldataload(add(o, 0xc0)))
            let cdLength := calldataload(sub(cd, 0x20))

            // the client data starts {"type":"webauthn.get","challenge":"<43 characters>"
            valid := eq(calldataload(cd), '{"type":"webauthn.get","challeng')
            valid := and(valid, eq(shr(224, calldataload(add(cd, 32))), 0x65223a22)) // e":"
            valid := and(valid, eq(calldataload(add(cd, 36)), encodedStart))
            valid := and(valid, eq(xor(calldataload(add(cd, 48)), encodedEnd), 0x63)) // "A" xor a quotation mark

            // relying party, user present and verified, backed up only if it may be
            valid := and(valid, eq(calldataload(ad), rpIdHash))
            let flags := byte(0, calldataload(add(ad, 32)))
            valid := and(valid, eq(and(flags, 0x05), 0x05))
            valid := and(valid, iszero(eq(and(flags, 0x18), 0x10)))

            // 0 < r < n, 0 < s <= n/2
            valid := and(valid, lt(sub(calldataload(add(o, 0x20)), 1), N_MINUS_1))
            valid := and(valid, lt(sub(calldataload(add(o, 0x40)), 1), HALF_N))

            // sha256(authenticatorData ‖ sha256(clientDataJSON)) ‖ r ‖ s ‖ x ‖ y. All gas by `not(0)`: the optimizer moves GAS
            // away from its call, which ERC-7562 [OP-012] forbids.
            let m := mload(0x40)
            calldatacopy(m, cd, cdLength)
            let done := staticcall(not(0), 2, m, cdLength, add(m, adLength), 0x20)
            calldatacopy(m, ad, adLength)
            done := and(staticcall(not(0), 2, m, add(adLength, 0x20), m, 0x20), done)
            calldatacopy(add(m, 0x20), add(o, 0x20), 0x40)
            mstore(add(m, 0x60), x)
            mstore(add(m, 0x80), y)
            done := and(staticcall(not(0), verifier, m, 0xa0, 0x00, 0x20), done)
            if iszero(done) {
                mstore(0x00, 0x21d13d3f) // VerificationOutOfGas()
                revert(0x1c, 0x04)
            }
            valid := and(valid, and(eq(returndatasize(), 0x20), eq(mload(0x00), 1)))
        }
    }

    /// @notice Whether `signature` is the canonical encoding of some assertion. Reads a fixed number of words.
    function isWellFormed(bytes calldata signature) internal pure returns (bool ok) {
        assembly ("memory-safe") {
            let o := signature.offset
            let length := signature.length
            let adLength := calldataload(add(o, 0xe0))
            let adPadding := and(sub(0, adLength), 31)
            let cdOffset := calldataload(add(o, 0xc0))
            let cd := add(add(o, 0x40), cdOffset)
            let cdLength := calldataload(sub(cd, 0x20))
            let cdPadding := and(sub(0, cdLength), 31)

            ok := lt(length, add(MAX_LENGTH, 1))
            ok := and(ok, eq(calldataload(add(o, 0x60)), 23))
            ok := and(ok, eq(calldataload(add(o, 0x80)), 1))
            ok := and(ok, eq(calldataload(add(o, 0xa0)), 0xc0))
            ok := and(ok, and(gt(adLength, 36), lt(adLength, length)))
            ok := and(ok, eq(cdOffset, add(0xe0, add(adLength, adPadding))))
            ok := and(ok, and(gt(cdLength, 79), lt(cdLength, length)))
            ok := and(ok, eq(length, add(add(0x40, cdOffset), add(cdLength, cdPadding))))
            ok := and(ok, iszero(shr(sub(256, shl(3, adPadding)), calldataload(add(add(o, 0x100), adLength)))))
            ok := and(ok, iszero(shr(sub(256, shl(3, cdPadding)), calldataload(add(cd, cdLength)))))
        }
    }

    /// @dev 192 bits to 32 characters, all at once: first each group of six bits moves into a byte of its own, then
    /// every byte is mapped to its character. An eleven-step loop over a table would cost three times as much.
    function _base64url(uint256 v) private pure returns (uint256 encoded) {
        unchecked {
            v += (v >> 96) * ((2 ** 32 - 1) << 96);
            v += (v & 0x00000000ffffffffffff00000000000000000000ffffffffffff000000000000) * (2 ** 16 - 1);
            v += (v & 0x0000ffffff0000000000ffffff0000000000ffffff0000000000ffffff000000) * (2 ** 8 - 1);
            v += (v & 0x00fff00000fff00000fff00000fff00000fff00000fff00000fff00000fff000) * (2 ** 4 - 1);
            v += (v & 0x0fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc00fc0) * (2 ** 2 - 1);
            encoded = v + 65 * ONES;
            encoded += 6 * _atLeast(v, 26);
            encoded -= 75 * _atLeast(v, 52);
            encoded -= 13 * _atLeast(v, 62);
            encoded += 49 * _atLeast(v, 63);
        }
    }

    /// @dev A one in every byte.
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;

    /// @dev For every byte of `v` (each below 64): 1 where it is at least `bound`, else 0.
    function _atLeast(uint256 v, uint256 bound) private pure returns (uint256) {
        unchecked {
            return ((v + (128 - bound) * ONES) >> 7) & ONES;
        }
    }
}
