// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IMasterAccount, Passkey } from "../interfaces/IMasterAccount.sol";
import { P256Key } from "../libraries/P256Key.sol";
import { PasskeyList } from "../libraries/PasskeyList.sol";

/// @title The passkeys of an account: the first in the clone's code, later ones in storage
/// @notice Finds, adds, removes and replaces passkeys.
/// @dev The clone is Solady's `LibClone` with immutable arguments: 45 bytes of code, then abi.encode(Passkey). Code of
/// any other length has no first passkey; that is what locks the implementation and a key delegated by EIP-7702.
abstract contract PasskeyStore is IMasterAccount {
    struct StoredKey {
        bytes32 rpIdHash;
        bytes32 x; // 0 while there is no such key
        bytes32 y;
    }

    struct PasskeySet {
        mapping(uint256 index => bytes32 credIdHash) added; // of each stored key
        mapping(bytes32 credIdHash => StoredKey) keys;
    }

    /// @custom:storage-location erc7201:agentkeys.storage.MasterAccount
    struct PasskeyStorage {
        bool firstRemoved;
        uint8 count; // of the current set
        uint232 generation; // raised by a recovery: the keys of every other set do not count
        mapping(uint256 generation => PasskeySet) sets;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("agentkeys.storage.MasterAccount")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE = 0x429188d127e9a842adff2a30bccaa6de742f1c70ec0068587fc0cd73df3a6a00;

    uint256 private constant CLONE_LENGTH = 45;

    /// @inheritdoc IMasterAccount
    function isPasskey(bytes32 credIdHash) external view returns (bool) {
        return _passkey(credIdHash).x != 0;
    }

    /// @inheritdoc IMasterAccount
    function passkeyCount() public view returns (uint256) {
        return _storage().count + (_hasFirst() ? 1 : 0);
    }

    /// @inheritdoc IMasterAccount
    function passkeys() public view returns (Passkey[] memory all) {
        PasskeySet storage set = _current();
        uint256 count = _storage().count;
        all = new Passkey[](passkeyCount());
        for (uint256 i = 0; i < count; ++i) all[i] = _passkey(set.added[i]);
        if (all.length > count) all[count] = _first();
    }

    /// @dev The passkey with this id; `x` is 0 where there is none.
    function _passkey(bytes32 credIdHash) internal view returns (Passkey memory found) {
        found = _first();
        if (found.credIdHash == credIdHash && !_storage().firstRemoved) return found;
        StoredKey storage key = _current().keys[credIdHash];
        found.credIdHash = credIdHash;
        found.rpIdHash = key.rpIdHash;
        found.x = key.x;
        found.y = key.y;
    }

    function _addPasskey(Passkey calldata passkey) internal {
        P256Key.requireValid(passkey.x, passkey.y);
        Passkey[] memory all = passkeys();
        if (all.length >= PasskeyList.MAX_PASSKEYS) revert TooManyPasskeys(PasskeyList.MAX_PASSKEYS);
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].credIdHash == passkey.credIdHash) revert PasskeyExists(passkey.credIdHash);
            if (all[i].x == passkey.x) revert PublicKeyInUse(all[i].credIdHash);
        }
        PasskeySet storage set = _current();
        set.added[_storage().count] = passkey.credIdHash;
        ++_storage().count;
        set.keys[passkey.credIdHash] = StoredKey(passkey.rpIdHash, passkey.x, passkey.y);
        emit PasskeyAdded(passkey.credIdHash, passkey.rpIdHash, passkey.x, passkey.y);
    }

    function _removePasskey(bytes32 credIdHash) internal {
        if (_passkey(credIdHash).x == 0) revert PasskeyUnknown(credIdHash);
        if (passkeyCount() == 1) revert LastPasskey(credIdHash);
        PasskeySet storage set = _current();
        if (set.keys[credIdHash].x == 0) {
            _storage().firstRemoved = true;
        } else {
            delete set.keys[credIdHash];
            uint256 last = --_storage().count;
            for (uint256 i = 0; i < last; ++i) {
                if (set.added[i] == credIdHash) set.added[i] = set.added[last];
            }
            delete set.added[last];
        }
        emit PasskeyRemoved(credIdHash);
    }

    /// @dev What there was stays in storage and is never looked at again.
    function _endPasskeys() internal {
        PasskeyStorage storage s = _storage();
        (s.firstRemoved, s.count) = (true, 0);
        emit PasskeysReplaced(++s.generation);
    }

    function _hasFirst() private view returns (bool) {
        return _first().x != 0 && !_storage().firstRemoved;
    }

    /// @dev The clone's immutable arguments, all zero where this code is not a clone of ours.
    function _first() private view returns (Passkey memory first) {
        assembly ("memory-safe") {
            if eq(extcodesize(address()), add(CLONE_LENGTH, 0x80)) {
                extcodecopy(address(), first, CLONE_LENGTH, 0x80)
            }
        }
    }

    function _current() private view returns (PasskeySet storage) {
        PasskeyStorage storage s = _storage();
        return s.sets[s.generation];
    }

    function _storage() private pure returns (PasskeyStorage storage s) {
        assembly ("memory-safe") {
            s.slot := STORAGE
        }
    }
}
