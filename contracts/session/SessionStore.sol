// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The validator's storage: words associated with an account, and what their bits mean
/// @notice Written by grants, read and counted in validation.
/// @dev Every word is at keccak256(account ‖ id) or at most 17 behind it, which is the storage that ERC-7562 [STO-021] lets
/// validation touch. An id is a kind and what it belongs to. Nothing is ever cleared: the serial number within a word, or
/// within its id, tells those of a key's latest grant from older ones. Packed by hand, lowest bits first:
///
/// - head, by key: validUntil 32 · validAfter 32 · generation 18 · serial 20 · place 6 · windowSeconds 20 ·
///   callsPerWindow 12 · gasPerOperationGwei 32 · gasLeftGwei 40 · window 32 · calls 12
/// - sponsor, by key: serial 32 · paymaster 160 · leftGwei 64
/// - place, by its number: first 96 bits of the actor's omni · key 160; stale unless the key's head is live and names it
/// - rule, by key, serial, target, selector: valueSpent 80 · valueTotal 80 · valuePerCall 80 · predicates 8 · granted 8; in
///   the word behind it, 16 bits for each predicate: comparison 4 · word 12; then the predicates' values
/// - token, by key, serial, token: spent 128 · total 128
/// - generation; and a bit for every nonce; and, of account zero, what no key may call
abstract contract SessionStore {
    uint256 internal constant HEAD = 1 << 160;
    uint256 internal constant SPONSOR = 3 << 160;
    uint256 internal constant PLACE = 4 << 160;
    uint256 internal constant GENERATION = 5 << 160;
    uint256 internal constant REFUSED = 6 << 160;
    uint256 internal constant NONCES = 1 << 255;

    /// @dev How many bits each member of a word has, a byte for each, lowest first: the members of the structs of the same
    /// names in ISessionKeyValidator, in their order.
    uint256 internal constant HEAD_WIDTHS = 0x0c2028200c140614122020;
    uint256 internal constant SPONSOR_WIDTHS = 0x40a020;
    uint256 internal constant RULE_WIDTHS = 0x0808505050;
    uint256 internal constant TOKEN_WIDTHS = 0x8080;

    // Where.

    function _slot(uint256 id, address account) internal pure returns (uint256 slot) {
        assembly ("memory-safe") {
            mstore(0x00, account)
            mstore(0x20, id)
            slot := keccak256(0x00, 0x40)
        }
    }

    function _ruleSlot(
        uint256 key,
        uint256 serial,
        address target,
        bytes4 selector,
        address account
    ) internal pure returns (uint256) {
        return _slot(_id(key, serial, (uint256(uint160(target)) << 96) | uint32(selector)), account);
    }

    function _tokenSlot(uint256 key, uint256 serial, address token, address account) internal pure returns (uint256) {
        return _slot(_id(key, serial, (uint256(uint160(token)) << 96) | (1 << 32)), account);
    }

    function _id(uint256 key, uint256 serial, uint256 what) private pure returns (uint256 id) {
        assembly ("memory-safe") {
            mstore(0x00, or(shl(96, key), serial))
            mstore(0x20, what)
            id := keccak256(0x00, 0x40)
        }
    }

    // What.

    function _load(uint256 id, address account) internal view returns (uint256) {
        return _read(_slot(id, account));
    }

    function _save(uint256 id, address account, uint256 word) internal {
        _write(_slot(id, account), word);
    }

    function _read(uint256 slot) internal view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(slot)
        }
    }

    function _write(uint256 slot, uint256 word) internal {
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }

    /// @dev The sponsor's word, without its members where it is another grant's.
    function _sponsor(uint256 key, uint256 serial, address account) internal view returns (uint256 word) {
        word = _load(SPONSOR | key, account);
        if (uint32(word) != serial) word = serial;
    }

    function _serial(uint256 head) internal pure returns (uint256) {
        return (head >> 82) & 0xfffff;
    }

    /// @dev Granted in the account's current generation and not revoked alone. Says nothing about time. The generation's last
    /// bits come again only after 262,144 revocations, all within the 7 days that a session can last.
    function _isUnrevoked(uint256 head, address account) internal view returns (bool) {
        return uint32(head) != 0 && ((head >> 64) ^ _load(GENERATION, account)) & 0x3ffff == 0;
    }

    // Views answer structs without dynamic members: their words one after another, from the free memory on.

    function _begin(uint256 first) internal pure returns (uint256 to) {
        assembly ("memory-safe") {
            to := mload(0x40)
            mstore(to, first)
            to := add(to, 0x20)
        }
    }

    function _unpack(uint256 word, uint256 widths, uint256 to) internal pure returns (uint256 end) {
        assembly ("memory-safe") {
            for {
                end := to
            } widths {
                widths := shr(8, widths)
            } {
                let bits := and(widths, 0xff)
                mstore(end, and(word, sub(shl(bits, 1), 1)))
                word := shr(bits, word)
                end := add(end, 0x20)
            }
        }
    }

    function _return(uint256 end) internal pure {
        assembly ("memory-safe") {
            let m := mload(0x40)
            return(m, sub(end, m))
        }
    }

    /// @dev Reverts with a custom error of `count` members.
    function _fail(bytes4 selector, uint256 count, uint256 a, uint256 b, uint256 c) internal pure {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, selector)
            mstore(add(m, 0x04), a)
            mstore(add(m, 0x24), b)
            mstore(add(m, 0x44), c)
            revert(m, add(0x04, shl(5, count)))
        }
    }
}
