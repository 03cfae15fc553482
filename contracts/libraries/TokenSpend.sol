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
    /// @return amount In the token's smallest unit; 2^256 - 1 where the data are cut short or name no address.
    function spentBy(
        address target,
        bytes calldata data
    ) internal pure returns (bool isSpend, address token, uint256 amount) {
        uint256 place = _place(bytes4(data));
        if (place == 0) return (false, token, 0);
        isSpend = true;
        amount = word(data, place & 0xf);
        token = target;
        if (place > 0xf) {
            uint256 named = word(data, (place >> 4) - 1);
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
    /// @param index Which word after the selector, from 0; at most 32 bits.
    /// @return value The word; 2^256 - 1 where the data end before it: more than any limit.
    function word(bytes calldata data, uint256 index) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let at := add(4, shl(5, index))
            value := or(calldataload(add(data.offset, at)), sub(0, lt(data.length, add(at, 32))))
        }
    }

    /// @dev Lowest four bits: which word is the amount. Those above: one more than which word is the token, or 0.
    function _place(bytes4 selector) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            switch shr(224, selector)
            // transfer(address,uint256)
            case 0xa9059cbb {
                place := 1
            }
            // approve(address,uint256)
            case 0x095ea7b3 {
                place := 1
            }
            // increaseAllowance(address,uint256)
            case 0x39509351 {
                place := 1
            }
            // increaseApproval(address,uint256)
            case 0xd73dd623 {
                place := 1
            }
            // transferFrom(address,address,uint256)
            case 0x23b872dd {
                place := 2
            }
            // Permit2: approve(address,address,uint160,uint48)
            case 0x87517c45 {
                place := 0x12
            }
            // Permit2: transferFrom(address,address,uint160,address)
            case 0x36c78516 {
                place := 0x42
            }
        }
    }
}
