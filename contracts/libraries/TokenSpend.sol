// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Which calls move or approve ERC-20 tokens, and how many
/// @notice Known by selector alone, whatever the target: a contract that has one of these functions is a token here.
library TokenSpend {
    /// @notice What a call spends.
    /// @param target What it calls.
    /// @param data Its data.
    /// @return isSpend Whether its selector is one of those below.
    /// @return token The token: the target, or with Permit2 what the call says.
    /// @return amount In the token's smallest unit; 2^256 - 1 where the data are cut short or no address is named.
    function spentBy(
        address target,
        bytes calldata data
    ) internal pure returns (bool isSpend, address token, uint256 amount) {
        bytes4 selector = bytes4(data);
        uint256 amountWord = 1;
        uint256 tokenWord = type(uint256).max;
        if (
            selector == 0xa9059cbb || // transfer(address,uint256)
            selector == 0x095ea7b3 || // approve(address,uint256)
            selector == 0x39509351 || // increaseAllowance(address,uint256)
            selector == 0xd73dd623 // increaseApproval(address,uint256)
        ) {
            // as set above
        } else if (selector == 0x23b872dd) {
            amountWord = 2; // transferFrom(address,address,uint256)
        } else if (selector == 0x87517c45) {
            (amountWord, tokenWord) = (2, 0); // Permit2: approve(address,address,uint160,uint48)
        } else if (selector == 0x36c78516) {
            (amountWord, tokenWord) = (2, 3); // Permit2: transferFrom(address,address,uint160,address)
        } else {
            return (false, address(0), 0);
        }
        isSpend = true;
        amount = word(data, amountWord);
        token = target;
        if (tokenWord < 4) {
            uint256 named = word(data, tokenWord);
            token = address(uint160(named));
            if (named >> 160 != 0) amount = type(uint256).max;
        }
    }

    /// @notice Whether a function moves tokens whose amounts are not counted: Permit2's
    /// `transferFrom((address,address,uint160,address)[])`.
    /// @param selector The function.
    function isUncountable(bytes4 selector) internal pure returns (bool) {
        return selector == 0x0d58b1db;
    }

    /// @notice A parameter of a call.
    /// @param data The call's data.
    /// @param index Which word after the selector, from 0.
    /// @return value The word; 2^256 - 1 where the data end before it: more than any limit.
    function word(bytes calldata data, uint256 index) internal pure returns (uint256 value) {
        uint256 at = 4 + 32 * index;
        if (data.length < at + 32) return type(uint256).max;
        assembly ("memory-safe") {
            value := calldataload(add(data.offset, at))
        }
    }
}
