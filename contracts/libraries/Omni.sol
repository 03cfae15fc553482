// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Strings } from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Names of operators and agents
/// @notice Computes omnis and checks labels.
/// @dev Byte-exact with the system note's "Names"; known answers are in test/vectors/protocol.json.
library Omni {
    // Bit c is set for every allowed character code c: '-' (0x2d), '0'–'9', 'a'–'z'.
    uint256 private constant LABEL_CHARACTERS = (1 << 0x2d) | (((1 << 10) - 1) << 0x30) | (((1 << 26) - 1) << 0x61);

    /// @notice The operator that an account can become master of.
    /// @return SHA-256("agentkeys" ‖ "evm" ‖ the address as 42 lowercase ASCII bytes).
    function ofOperator(address account) internal pure returns (bytes32) {
        return sha256(abi.encodePacked("agentkeys", "evm", Strings.toHexString(account)));
    }

    /// @notice The agent of an operator under a label that {isLabel} accepts.
    /// @return SHA-256("agentkeys-hdkd-v1" ‖ parent ‖ "//" ‖ label).
    function ofActor(bytes32 parent, string calldata label) internal pure returns (bytes32) {
        return sha256(abi.encodePacked("agentkeys-hdkd-v1", parent, "//", label));
    }

    /// @notice True for `^[a-z0-9-]{1,32}$`.
    function isLabel(string calldata label) internal pure returns (bool) {
        bytes calldata text = bytes(label);
        if (text.length == 0 || text.length > 32) return false;
        for (uint256 i = 0; i < text.length; ++i) {
            if ((LABEL_CHARACTERS >> uint8(text[i])) & 1 == 0) return false;
        }
        return true;
    }
}
