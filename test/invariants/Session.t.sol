// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { RuleState, SessionState, TokenState } from "../../contracts/interfaces/ISessionKeyValidator.sol";
import { IMasterAccount } from "../../contracts/interfaces/IMasterAccount.sol";
import { SessionHandler } from "./SessionHandler.sol";
import { Handler } from "./support/Handler.sol";
import { InvariantTest } from "./support/InvariantTest.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { vm } from "./support/Vm.sol";

/// @title A session never spends above its caps, whatever the order, and nothing else of the account moves
contract SessionProperties is SessionHandler {
    function _checkAll() internal view override {
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _checkAccount(_accounts[i], i + 1);
            for (uint256 key = 1; key <= KEYS; ++key) _checkSession(_accounts[i], key);
        }
    }

    /// @dev What left the account is at most what sessions counted; failed executions count and move nothing.
    function _checkAccount(address account, uint256 secret) private view {
        require(BALANCE - account.balance <= _valueSpent[account], "more value left than sessions counted");
        require(_sink.received(account) == BALANCE - account.balance, "value went where no rule is");
        require(
            _token.sent(account) + _token.approved(account) <= _tokensSpent[account],
            "more tokens left than sessions counted"
        );
        require(
            BALANCE - entryPoint.balanceOf(account) <= _gasSpent[account] * 1 gwei,
            "more gas was paid than sessions counted"
        );
        require(IMasterAccount(account).passkeyCount() == 1, "a session touched the passkeys");
        require(IMasterAccount(account).isPasskey(Passkeys.credIdHash(secret)), "a session touched the passkeys");
        require(entryPoint.getNonce(account, 0) == 0, "a session used the passkeys' nonce");
    }

    /// @dev Every counter stands where the model has it, and at or below its cap.
    function _checkSession(address account, uint256 key) private view {
        Terms memory t = _terms[account][key];
        if (!t.granted) return;
        Used memory u = _used[account][key];
        address signer = vm.addr(key);
        (bool live, SessionState memory spent, ) = _validator.sessionOf(account, signer);
        require(live == (!t.revoked && block.timestamp < t.validUntil), "a session is live that should not be, or not");
        require(spent.calls == u.calls && u.calls <= t.callsPerWindow, "calls above the window's");
        require(spent.gasLeftGwei + u.gas == t.gasTotal, "gas above its cap");
        TokenState memory tokens = _validator.tokenOf(account, signer, address(_token));
        require(tokens.spent == u.tokens && u.tokens <= t.tokenTotal, "tokens above their cap");
        for (uint256 i = 0; i < RULES; ++i) {
            (address target, bytes4 selector) = _functionOf(i);
            RuleState memory rule = _validator.ruleOf(account, signer, target, selector);
            require(rule.isGranted == t.rules[i], "a rule that was not granted, or not one that was");
            require(
                !t.rules[i] || (rule.valueSpent == u.values[i] && u.values[i] <= t.valueTotal[i]),
                "value above its cap"
            );
        }
    }
}

contract SessionInvariants is InvariantTest {
    function newHandler() internal override returns (Handler) {
        return new SessionProperties();
    }
}
