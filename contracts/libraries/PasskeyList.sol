// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import { IMasterAccount, Passkey } from "../interfaces/IMasterAccount.sol";
import { P256Key } from "./P256Key.sol";

/// @title Which passkeys can be all those of an account
/// @notice The account's own rules, before there is any of them in it.
library PasskeyList {
    /// @notice The most passkeys that an account can have at once.
    uint256 internal constant MAX_PASSKEYS = 16;

    /// @notice Reverts as `IMasterAccount.addPasskey` would for one of them, or with `IAccountRecovery.NoPasskeys`.
    /// @param all The passkeys, in the order in which they would be added to an account without any.
    function requireValid(Passkey[] calldata all) internal pure {
        if (all.length == 0) revert IAccountRecovery.NoPasskeys();
        if (all.length > MAX_PASSKEYS) revert IMasterAccount.TooManyPasskeys(MAX_PASSKEYS);
        for (uint256 i = 0; i < all.length; ++i) {
            Passkey calldata one = all[i];
            P256Key.requireValid(one.x, one.y);
            for (uint256 j = 0; j < i; ++j) {
                if (all[j].credIdHash == one.credIdHash) revert IMasterAccount.PasskeyExists(one.credIdHash);
                if (all[j].x == one.x) revert IMasterAccount.PublicKeyInUse(all[j].credIdHash);
            }
        }
    }
}
