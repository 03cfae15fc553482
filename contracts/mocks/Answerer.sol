// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title A contract that answers every question as it was told, and makes any call
/// @notice A hostile guardian, verifier, master or account. For tests; never deployed elsewhere.
contract Answerer {
    enum Kind {
        Words, // the bytes told
        Failure, // reverts with them
        Endless, // until the gas is gone
        CallBack // the bytes told, after a call to `to`
    }

    Kind private _kind;
    bytes private _words;
    address private _to;
    bytes private _data;

    // solhint-disable no-complex-fallback
    /// @notice Answers every call but {tell} and {run}.
    fallback(bytes calldata) external returns (bytes memory) {
        bytes memory words = _words;
        if (_kind == Kind.Failure) {
            assembly ("memory-safe") {
                revert(add(words, 0x20), mload(words))
            }
        }
        if (_kind == Kind.Endless) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        if (_kind == Kind.CallBack) _call(_to, _data);
        return words;
    }

    /// @notice Sets what comes from now on.
    /// @param kind How to answer.
    /// @param words The answer.
    /// @param to Whom to call before.
    /// @param data With what.
    function tell(Kind kind, bytes calldata words, address to, bytes calldata data) external {
        (_kind, _words, _to, _data) = (kind, words, to, data);
    }

    /// @notice Makes a call, and fails as it fails.
    /// @param to The target.
    /// @param data The calldata.
    function run(address to, bytes calldata data) external {
        (bool success, bytes memory answer) = _call(to, data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function _call(address to, bytes memory data) private returns (bool success, bytes memory answer) {
        // solhint-disable-next-line avoid-low-level-calls
        (success, answer) = to.call(data);
    }
}
