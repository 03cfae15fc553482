// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Predicate, Rule, Session } from "../interfaces/ISessionKeyValidator.sol";

/// @title EIP-712 hash of a grant
/// @dev Structs without dynamic members are hashed as the ABI encodes them, which is the same.
library SessionHash {
    string private constant PREDICATE = "Predicate(uint16 word,uint8 comparison,bytes32 value)";
    string private constant RULE =
        "Rule(address target,bytes4 selector,uint80 valuePerCall,uint80 valueTotal,Predicate[] predicates)";
    string private constant SESSION =
        "Session(bytes32 actorOmni,address key,uint32 validAfter,uint32 validUntil,uint24 windowSeconds,uint16 callsPerWindow,uint40 gasPerOperationGwei,uint40 gasTotalGwei,address paymaster,uint40 paymasterTotalGwei,Rule[] rules,TokenLimit[] tokenLimits)";
    string private constant TOKEN_LIMIT = "TokenLimit(address token,uint128 total)";
    string private constant GRANT =
        "GrantSession(address account,uint32 generation,uint256 nonce,uint256 deadline,Session session)";

    bytes32 private constant PREDICATE_TYPE = keccak256(bytes(PREDICATE));
    bytes32 private constant RULE_TYPE = keccak256(abi.encodePacked(RULE, PREDICATE));
    bytes32 private constant TOKEN_LIMIT_TYPE = keccak256(bytes(TOKEN_LIMIT));
    bytes32 private constant SESSION_TYPE = keccak256(abi.encodePacked(SESSION, PREDICATE, RULE, TOKEN_LIMIT));
    bytes32 private constant GRANT_TYPE = keccak256(abi.encodePacked(GRANT, PREDICATE, RULE, SESSION, TOKEN_LIMIT));

    /// @dev hashStruct of `GrantSession`.
    function ofGrant(
        address account,
        uint32 generation,
        uint256 nonce,
        uint256 deadline,
        Session calldata session
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(GRANT_TYPE, account, generation, nonce, deadline, _ofSession(session)));
    }

    function _ofSession(Session calldata session) private pure returns (bytes32) {
        bytes32[] memory rules = new bytes32[](session.rules.length);
        for (uint256 i = 0; i < rules.length; ++i) rules[i] = _ofRule(session.rules[i]);
        bytes32[] memory limits = new bytes32[](session.tokenLimits.length);
        for (uint256 i = 0; i < limits.length; ++i) {
            limits[i] = keccak256(abi.encode(TOKEN_LIMIT_TYPE, session.tokenLimits[i]));
        }
        return
            keccak256(
                abi.encode(
                    SESSION_TYPE,
                    session.actorOmni,
                    session.key,
                    session.validAfter,
                    session.validUntil,
                    session.windowSeconds,
                    session.callsPerWindow,
                    session.gasPerOperationGwei,
                    session.gasTotalGwei,
                    session.paymaster,
                    session.paymasterTotalGwei,
                    keccak256(abi.encodePacked(rules)),
                    keccak256(abi.encodePacked(limits))
                )
            );
    }

    function _ofRule(Rule calldata rule) private pure returns (bytes32) {
        bytes32[] memory predicates = new bytes32[](rule.predicates.length);
        for (uint256 i = 0; i < predicates.length; ++i) {
            Predicate calldata predicate = rule.predicates[i];
            predicates[i] = keccak256(abi.encode(PREDICATE_TYPE, predicate));
        }
        return
            keccak256(
                abi.encode(
                    RULE_TYPE,
                    rule.target,
                    rule.selector,
                    rule.valuePerCall,
                    rule.valueTotal,
                    keccak256(abi.encodePacked(predicates))
                )
            );
    }
}
