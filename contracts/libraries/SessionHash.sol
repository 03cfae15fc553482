// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Predicate, Rule, Session, TokenLimit } from "../interfaces/ISessionKeyValidator.sol";

/// @title EIP-712 digest of a grant
/// @notice Domain "AgentKeys SessionKeyValidator" version "1", this chain, this contract; type `GrantSession`.
/// @dev Words are hashed as they lie in the calldata: a dirty one makes a digest that nobody signed.
library SessionHash {
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant NAME = keccak256("AgentKeys SessionKeyValidator");
    bytes32 private constant VERSION = keccak256("1");

    bytes32 private constant PREDICATE_TYPE = keccak256("Predicate(uint16 word,uint8 comparison,bytes32 value)");
    bytes32 private constant TOKEN_LIMIT_TYPE = keccak256("TokenLimit(address token,uint128 total)");
    bytes32 private constant RULE_TYPE = keccak256(
        "Rule(address target,bytes4 selector,uint80 valuePerCall,uint80 valueTotal,Predicate[] predicates)"
        "Predicate(uint16 word,uint8 comparison,bytes32 value)"
    );
    bytes32 private constant SESSION_TYPE = keccak256(
        "Session(bytes32 actorOmni,address key,uint32 validAfter,uint32 validUntil,uint24 windowSeconds,"
        "uint16 callsPerWindow,uint32 gasPerOperationGwei,uint40 gasTotalGwei,address paymaster,"
        "uint40 paymasterTotalGwei,Rule[] rules,TokenLimit[] tokenLimits)"
        "Predicate(uint16 word,uint8 comparison,bytes32 value)"
        "Rule(address target,bytes4 selector,uint80 valuePerCall,uint80 valueTotal,Predicate[] predicates)"
        "TokenLimit(address token,uint128 total)"
    );
    bytes32 private constant GRANT_TYPE = keccak256(
        "GrantSession(address account,uint32 generation,uint256 nonce,uint256 deadline,Session session)"
        "Predicate(uint16 word,uint8 comparison,bytes32 value)"
        "Rule(address target,bytes4 selector,uint80 valuePerCall,uint80 valueTotal,Predicate[] predicates)"
        "Session(bytes32 actorOmni,address key,uint32 validAfter,uint32 validUntil,uint24 windowSeconds,"
        "uint16 callsPerWindow,uint32 gasPerOperationGwei,uint40 gasTotalGwei,address paymaster,"
        "uint40 paymasterTotalGwei,Rule[] rules,TokenLimit[] tokenLimits)"
        "TokenLimit(address token,uint128 total)"
    );

    /// @notice What an account signs.
    /// @param account Who grants.
    /// @param generation The account's.
    /// @param nonce The grant's.
    /// @param deadline Unix seconds.
    /// @param session What is granted.
    function digest(
        address account,
        uint256 generation,
        uint256 nonce,
        uint256 deadline,
        Session calldata session
    ) internal view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, address(this)));
        bytes32 grant = keccak256(abi.encode(GRANT_TYPE, account, generation, nonce, deadline, _ofSession(session)));
        return keccak256(abi.encodePacked(hex"1901", domain, grant));
    }

    function _ofSession(Session calldata session) private pure returns (bytes32 hash) {
        TokenLimit[] calldata limits = session.tokenLimits;
        bytes32 type_ = SESSION_TYPE;
        bytes32 rules = _ofRules(session.rules);
        bytes32 tokens;
        assembly ("memory-safe") {
            tokens := limits.offset
        }
        tokens = _ofStatic(TOKEN_LIMIT_TYPE, uint256(tokens), limits.length, 0x40);
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, type_)
            calldatacopy(add(m, 0x20), session, 0x140) // the ten members before the arrays
            mstore(add(m, 0x160), rules)
            mstore(add(m, 0x180), tokens)
            hash := keccak256(m, 0x1a0)
        }
    }

    function _ofRules(Rule[] calldata rules) private pure returns (bytes32) {
        bytes memory hashes;
        bytes32 type_ = RULE_TYPE;
        uint256 end;
        assembly ("memory-safe") {
            hashes := mload(0x40)
            end := add(hashes, 0x20)
            mstore(hashes, shl(5, rules.length))
            mstore(0x40, add(end, shl(5, rules.length)))
        }
        for (uint256 i = 0; i < rules.length;) {
            Predicate[] calldata predicates = rules[i].predicates;
            Rule calldata rule = rules[i];
            uint256 offset;
            assembly ("memory-safe") {
                offset := predicates.offset
            }
            bytes32 hash = _ofStatic(PREDICATE_TYPE, offset, predicates.length, 0x60);
            assembly ("memory-safe") {
                let m := mload(0x40)
                mstore(m, type_)
                calldatacopy(add(m, 0x20), rule, 0x80) // the four members before the array
                mstore(add(m, 0xa0), hash)
                mstore(add(end, shl(5, i)), keccak256(m, 0xc0))
                i := add(i, 1)
            }
        }
        return keccak256(hashes);
    }

    /// @dev Array of structs without dynamic members, each of `size` bytes, at most 0x60.
    function _ofStatic(bytes32 type_, uint256 offset, uint256 count, uint256 size) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            let hashes := add(m, 0x80)
            mstore(m, type_)
            for {
                let i := 0
            } lt(i, count) {
                i := add(i, 1)
            } {
                calldatacopy(add(m, 0x20), add(offset, mul(i, size)), size)
                mstore(add(hashes, shl(5, i)), keccak256(m, add(size, 0x20)))
            }
            hash := keccak256(hashes, shl(5, count))
        }
    }
}
