// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IERC1155Receiver } from "@openzeppelin/contracts/interfaces/IERC1155Receiver.sol";
import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IERC165 } from "@openzeppelin/contracts/interfaces/IERC165.sol";
import { IAccount, PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import { IERC721Receiver } from "@openzeppelin/contracts/interfaces/IERC721Receiver.sol";
import { ERC1271 } from "solady/src/accounts/ERC1271.sol";
import { Receiver } from "solady/src/accounts/Receiver.sol";

import { IMasterAccount, Passkey } from "../interfaces/IMasterAccount.sol";
import { WebAuthnAssertion } from "../libraries/WebAuthnAssertion.sol";
import { CallExecutor } from "./CallExecutor.sol";
import { PasskeyStore } from "./PasskeyStore.sol";

/// @title ERC-4337 account owned by passkeys
/// @notice Any one of its passkeys signs for it; see `IMasterAccount`.
/// @dev Deployed once, locked, and run by clones that carry their first passkey in their code. No owner, no upgrade, no
/// initializer. Validation reads the account's own code and storage and calls SHA-256 and the verifier, nothing else.
contract MasterAccount is PasskeyStore, CallExecutor, ERC1271, Receiver, IAccount {
    /// @inheritdoc IMasterAccount
    address public immutable entryPoint;

    /// @notice What answers for P-256 signatures: the precompile at 0x100, or a contract with its interface. Fixed at
    /// deployment by a probe, never tried at run time.
    address public immutable verifier;

    /// @notice Makes the code that clones run.
    /// @param entryPoint_ EntryPoint v0.7 or v0.8.
    /// @param verifier_ The P-256 verifier of this chain.
    constructor(address entryPoint_, address verifier_) {
        entryPoint = entryPoint_;
        verifier = verifier_;
    }

    modifier onlyEntryPointOrSelf() {
        _requireEntryPointOrSelf();
        _;
    }

    /// @inheritdoc IAccount
    /// @dev Only the EntryPoint may call. 0 for a valid signature, 1 for every other; nonce keys other than 0 are 1,
    /// they are kept for validators other than the passkeys.
    function validateUserOp(
        PackedUserOperation calldata userOp,
        bytes32 userOpHash,
        uint256 missingAccountFunds
    ) external returns (uint256 validationData) {
        if (msg.sender != entryPoint) revert CallerNotAllowed(msg.sender);
        bool valid = _isSignedByPasskey(userOpHash, userOp.signature) && userOp.nonce >> 64 == 0;
        assembly ("memory-safe") {
            validationData := iszero(valid)
            // The EntryPoint checks what it got; a failure here must not hide the answer.
            if missingAccountFunds {
                pop(call(gas(), caller(), missingAccountFunds, codesize(), 0, codesize(), 0))
            }
        }
    }

    /// @inheritdoc IMasterAccount
    function execute(bytes32 mode, bytes calldata executionData) external payable onlyEntryPointOrSelf {
        _execute(mode, executionData);
    }

    /// @inheritdoc IMasterAccount
    function addPasskey(Passkey calldata passkey) external onlyEntryPointOrSelf {
        _addPasskey(passkey);
    }

    /// @inheritdoc IMasterAccount
    function removePasskey(bytes32 credIdHash) external onlyEntryPointOrSelf {
        _removePasskey(credIdHash);
    }

    /// @notice ERC-165: the account's own interfaces and the token receivers'.
    /// @param interfaceId XOR of the interface's selectors.
    /// @return Whether the account has them.
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return
            interfaceId == type(IERC165).interfaceId ||
            interfaceId == type(IERC721Receiver).interfaceId ||
            interfaceId == type(IERC1155Receiver).interfaceId ||
            interfaceId == type(IERC1271).interfaceId;
    }

    function _requireEntryPointOrSelf() private view {
        if (msg.sender != entryPoint && msg.sender != address(this)) revert CallerNotAllowed(msg.sender);
    }

    /// @dev The one signature check, for operations and for ERC-1271 alike.
    function _isSignedByPasskey(bytes32 hash, bytes calldata signature) private view returns (bool) {
        bytes32 credIdHash;
        assembly ("memory-safe") {
            credIdHash := calldataload(signature.offset) // too short a signature is not well formed
        }
        Passkey memory key = _passkey(credIdHash);
        if (key.x == 0) return false;
        return WebAuthnAssertion.verify(hash, signature, key.rpIdHash, key.x, key.y, verifier);
    }

    // ERC-1271 through ERC-7739: what is signed names this account and this chain.

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("AgentKeys MasterAccount", "1");
    }

    function _erc1271IsValidSignature(bytes32 hash, bytes calldata signature) internal view override returns (bool) {
        return _erc1271IsValidSignatureViaNestedEIP712(hash, signature);
    }

    function _erc1271IsValidSignatureNowCalldata(
        bytes32 hash,
        bytes calldata signature
    ) internal view override returns (bool) {
        return _isSignedByPasskey(hash, signature);
    }

    /// @dev An ERC-6492 wrapper is for whoever verifies for an account not yet deployed; a deployed one sees plain signatures.
    function _erc1271UnwrapSignature(bytes calldata signature) internal pure override returns (bytes calldata) {
        return signature;
    }

    /// @dev Never asked: no address signs for the account.
    function _erc1271Signer() internal pure override returns (address) {
        return address(0);
    }
}
