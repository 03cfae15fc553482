// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { PaymasterHandler } from "./PaymasterHandler.sol";
import { Handler } from "./support/Handler.sol";
import { InvariantTest } from "./support/InvariantTest.sol";

/// @title The paymaster never pays beyond a budget, and for nobody whom no sponsor named
contract PaymasterProperties is PaymasterHandler {
    function _checkAll() internal view override {
        require(
            entryPoint.balanceOf(address(_paymaster)) == DEPOSIT - _paidInAll,
            "the deposit paid for what was not promised"
        );
        for (uint256 i = 0; i < ACCOUNTS; ++i) _checkAccount(_accounts[i]);
    }

    /// @dev What is left and what was paid are never more than the budget: nothing that was paid is forgotten.
    function _checkAccount(address account) private view {
        require(account.balance == 0 && entryPoint.balanceOf(account) == 0, "an account got the paymaster's money");
        uint256 windowSeconds = _budgets[account].windowSeconds;
        if (windowSeconds == 0) return;
        uint256 left = _paymaster.leftIn(account, uint48(block.timestamp));
        bool isNow = _paid[account].window == block.timestamp / windowSeconds;
        require(
            left == 0 || left + (isNow ? _paid[account].amount : 0) <= _budgets[account].perWindow,
            "more is left of a budget than was not paid"
        );
    }
}

contract PaymasterInvariants is InvariantTest {
    function newHandler() internal override returns (Handler) {
        return new PaymasterProperties();
    }
}
