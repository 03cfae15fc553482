// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IMasterAccount } from "../../contracts/interfaces/IMasterAccount.sol";
import { AccountHandler } from "./AccountHandler.sol";
import { Handler } from "./support/Handler.sol";
import { InvariantTest } from "./support/InvariantTest.sol";
import { Passkeys } from "./support/Passkeys.sol";

/// @title Nothing but its passkeys moves an account, and it always has one
contract AccountProperties is AccountHandler {
    uint256 private constant BALANCE = 1000 ether;

    function _checkAll() internal view override {
        require(_sink.reentered() == 0, "a target came back into an account");
        require(IMasterAccount(_factory.implementation()).passkeyCount() == 0, "the implementation has a passkey");
        for (uint256 i = 0; i < ACCOUNTS; ++i) _checkAccount(_accounts[i]);
    }

    function _checkAccount(address account) private view {
        require(_sink.calls(account) == _calls[account], "an account called what no passkey signed");
        require(_sink.received(account) == _paid[account], "an account paid what no passkey signed");
        require(account.balance == BALANCE - _paid[account], "an account's money went elsewhere");
        require(entryPoint.balanceOf(account) == _deposits[account], "a deposit paid for what no passkey signed");
        require(entryPoint.getNonce(account, 0) == _nonces[account], "a nonce was used without a passkey");
        uint256 count = IMasterAccount(account).passkeyCount();
        require(count > 0 && count == _passkeys[account], "an account has another number of passkeys, or none");
        require(IMasterAccount(account).passkeys().length == count, "the list of passkeys is of another length");
        for (uint256 secret = 1; secret <= PASSKEYS; ++secret) {
            require(
                IMasterAccount(account).isPasskey(Passkeys.credIdHash(secret)) == _active[account][secret],
                "a passkey is one that should not be, or is not"
            );
        }
    }
}

contract AccountInvariants is InvariantTest {
    function newHandler() internal override returns (Handler) {
        return new AccountProperties();
    }
}
