// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { LibClone } from "solady/src/utils/LibClone.sol";

import { IMasterAccountFactory, Passkey } from "../interfaces/IMasterAccount.sol";
import { P256Key } from "../libraries/P256Key.sol";
import { MasterAccount } from "./MasterAccount.sol";

/// @title Makes master accounts at addresses that commit to the first passkey
/// @notice Deploys clones of one locked implementation, which it makes itself.
/// @dev Solady's clone, not OpenZeppelin's: the latter reads SELFBALANCE, which ERC-7562 forbids during validation.
contract MasterAccountFactory is IMasterAccountFactory {
    /// @inheritdoc IMasterAccountFactory
    address public immutable implementation;

    /// @notice Deploys the implementation.
    /// @param entryPoint EntryPoint v0.7 or v0.8 that the accounts obey.
    /// @param verifier The P-256 verifier of this chain: 0x100 where a probe found the precompile, else a contract.
    /// @param sessionValidator The accounts' session validator.
    /// @param recovery The accounts' recovery contract.
    constructor(address entryPoint, address verifier, address sessionValidator, address recovery) {
        implementation = address(new MasterAccount(entryPoint, verifier, sessionValidator, recovery));
    }

    /// @inheritdoc IMasterAccountFactory
    function createAccount(Passkey calldata first, uint256 salt) external returns (address account) {
        P256Key.requireValid(first.x, first.y);
        bool existed;
        (existed, account) = LibClone.createDeterministicClone(implementation, abi.encode(first), bytes32(salt));
        if (!existed) emit AccountCreated(account, first.credIdHash);
    }

    /// @inheritdoc IMasterAccountFactory
    function getAddress(Passkey calldata first, uint256 salt) external view returns (address account) {
        P256Key.requireValid(first.x, first.y);
        return LibClone.predictDeterministicAddress(implementation, abi.encode(first), bytes32(salt), address(this));
    }
}
