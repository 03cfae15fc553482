// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IERC1155Receiver } from "@openzeppelin/contracts/interfaces/IERC1155Receiver.sol";
import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IERC165 } from "@openzeppelin/contracts/interfaces/IERC165.sol";
import { IAccount, PackedUserOperation } from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import { IERC7579Validator } from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";
import { IERC721Receiver } from "@openzeppelin/contracts/interfaces/IERC721Receiver.sol";
import { ERC1271 } from "solady/src/accounts/ERC1271.sol";
import { Receiver } from "solady/src/accounts/Receiver.sol";

import { IAccountRecovery } from "../interfaces/IAccountRecovery.sol";
import { IMasterAccount, Passkey } from "../interfaces/IMasterAccount.sol";
import { ISessionKeyValidator } from "../interfaces/ISessionKeyValidator.sol";
import { ISidecarRegistry } from "../interfaces/ISidecarRegistry.sol";
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

    /// @inheritdoc IMasterAccount
    address public immutable sessionValidator;

    /// @inheritdoc IMasterAccount
    address public immutable recovery;

    /// @notice Makes the code that clones run.
    /// @param entryPoint_ EntryPoint v0.7 or v0.8.
    /// @param verifier_ The P-256 verifier of this chain.
    /// @param sessionValidator_ Validates the operations whose nonce key is its address.
    /// @param recovery_ Replaces the passkeys where guardians were configured there.
    constructor(address entryPoint_, address verifier_, address sessionValidator_, address recovery_) {
        entryPoint = entryPoint_;
        verifier = verifier_;
        sessionValidator = sessionValidator_;
        recovery = recovery_;
    }

    modifier onlyEntryPointOrSelf() {
        _requireEntryPointOrSelf();
        _;
    }

    modifier onlyRecovery() {
        if (msg.sender != recovery) revert CallerNotAllowed(msg.sender);
        _;
    }

    /// @inheritdoc IAccount
    /// @dev Only the EntryPoint may call. The nonce's key alone chooses who validates: 0 the passkeys (0 for a valid
    /// signature, 1 for every other), the session validator's address that module; every other is 1.
    function validateUserOp(
        PackedUserOperation calldata userOp,
        bytes32 userOpHash,
        uint256 missingAccountFunds
    ) external returns (uint256 validationData) {
        if (msg.sender != entryPoint) revert CallerNotAllowed(msg.sender);
        uint256 key = userOp.nonce >> 64;
        if (key == 0) {
            validationData = _isSignedByPasskey(userOpHash, userOp.signature) ? 0 : 1;
        } else {
            validationData = key == uint160(sessionValidator) ? _validatedBySession() : 1;
        }
        assembly ("memory-safe") {
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
    function addPasskey(Passkey calldata passkey) external {
        if (msg.sender != recovery) _requireEntryPointOrSelf();
        _addPasskey(passkey);
    }

    /// @inheritdoc IMasterAccount
    function removePasskey(bytes32 credIdHash) external {
        if (msg.sender != recovery) {
            _requireEntryPointOrSelf();
            if (_recoverySays(IAccountRecovery.isConfigured.selector)) revert RemovalNeedsDelay(credIdHash);
        }
        _removePasskey(credIdHash);
    }

    /// @inheritdoc IMasterAccount
    function replacePasskeys(Passkey calldata passkey) external onlyRecovery {
        _endPasskeys();
        _addPasskey(passkey);
        _order(sessionValidator, ISessionKeyValidator.revokeAll.selector);
    }

    /// @inheritdoc IMasterAccount
    function cancelTransfer(address registry) external onlyRecovery {
        _order(registry, ISidecarRegistry.cancelTransfer.selector);
    }

    /// @inheritdoc IMasterAccount
    function recoveryPending() external view returns (bool) {
        return _recoverySays(IAccountRecovery.isPending.selector);
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

    /// @dev A yes or no of the recovery contract about this account; no where there is none. Fails where that fails: no
    /// shortage of gas is a no.
    function _recoverySays(bytes4 question) private view returns (bool yes) {
        address to = recovery;
        assembly ("memory-safe") {
            mstore(0x00, question)
            mstore(0x04, address())
            if iszero(staticcall(gas(), to, 0x00, 0x24, 0x00, 0x20)) {
                revert(0x00, 0x00)
            }
            yes := and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))
        }
    }

    /// @dev Calls a function without arguments; nothing happens where there is no code.
    function _order(address to, bytes4 selector) private {
        assembly ("memory-safe") {
            mstore(0x00, selector)
            if iszero(call(gas(), to, 0, 0x00, 0x04, 0x00, 0x00)) {
                let m := mload(0x40)
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
        }
    }

    /// @dev Asks the session validator about the operation in this call's own calldata: ERC-7579's
    /// `validateUserOp(PackedUserOperation,bytes32)` reads the first two of our three arguments from the same places.
    function _validatedBySession() private returns (uint256 validationData) {
        address validator = sessionValidator;
        bytes4 selector = IERC7579Validator.validateUserOp.selector;
        assembly ("memory-safe") {
            let m := mload(0x40)
            calldatacopy(m, 0x00, calldatasize())
            mstore(0x00, 0x00)
            // the selector's four bytes, the rest of the word as it came
            mstore(m, or(selector, shr(32, shl(32, mload(m)))))
            if iszero(call(not(0), validator, 0, m, calldatasize(), 0x00, 0x20)) {
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
            validationData := mload(0x00)
            if lt(returndatasize(), 0x20) {
                validationData := 1
            }
        }
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
