// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title A token whose answers and fees a test chooses
/// @notice Balances are moved whole, less the fee, whatever is answered.
contract OddToken {
    /// @notice How a transfer ends.
    enum Manner {
        TRUE,
        NOTHING,
        FALSE,
        REVERT
    }

    /// @notice Account → tokens.
    mapping(address account => uint256) public balanceOf;
    /// @notice How transfers end.
    Manner public immutable manner;
    /// @notice Hundredths that a transfer burns.
    uint256 public immutable feePercent;

    /// @notice Gives `holder` its tokens.
    /// @param holder Who gets them.
    /// @param amount How many.
    /// @param manner_ How transfers end.
    /// @param feePercent_ Hundredths that a transfer burns.
    constructor(address holder, uint256 amount, Manner manner_, uint256 feePercent_) {
        balanceOf[holder] = amount;
        manner = manner_;
        feePercent = feePercent_;
    }

    /// @notice Moves tokens as the manner says.
    /// @param to Who gets them.
    /// @param amount How many.
    function transfer(address to, uint256 amount) external {
        require(manner != Manner.REVERT, "no transfers");
        if (manner == Manner.FALSE) _answer(0);
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount - (amount * feePercent) / 100;
        if (manner == Manner.TRUE) _answer(1);
    }

    function _answer(uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(0x00, word)
            return(0x00, 0x20)
        }
    }
}
