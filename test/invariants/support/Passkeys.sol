// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { Base64 } from "@openzeppelin/contracts/utils/Base64.sol";

import { Passkey } from "../../../contracts/interfaces/IMasterAccount.sol";
import { vm } from "./Vm.sol";

/// @title Passkeys of example.org in a test's hands
/// @dev A passkey is named by its private key, a small number.
library Passkeys {
    uint256 private constant N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;

    /// @notice How an assertion differs from an honest one.
    enum Flaw {
        NONE,
        OTHER_KEY, // claims one credential, signed by another
        NOT_VERIFIED, // UV not set
        NOT_PRESENT, // UP not set
        HIGH_S,
        OTHER_TYPE, // of the client data
        OTHER_CHALLENGE, // one bit, now here, now there
        TRAILING_BYTE
    }

    uint256 internal constant FLAWS = 8;

    function passkey(uint256 secret) internal pure returns (Passkey memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(secret);
        return Passkey(credIdHash(secret), sha256("example.org"), bytes32(x), bytes32(y));
    }

    function credIdHash(uint256 secret) internal pure returns (bytes32) {
        return keccak256(abi.encode("credential", secret));
    }

    /// @notice An assertion over `challenge`, encoded as the account takes it.
    function sign(uint256 secret, bytes32 challenge, Flaw flaw) internal pure returns (bytes memory) {
        bytes memory data = abi.encodePacked(
            sha256("example.org"),
            flaw == Flaw.NOT_VERIFIED
                ? bytes1(0x01)
                : flaw == Flaw.NOT_PRESENT
                    ? bytes1(0x04)
                    : bytes1(0x05),
            uint32(0)
        );
        if (flaw == Flaw.OTHER_CHALLENGE) challenge ^= bytes32(1 << (uint256(challenge) & 255));
        bytes memory client = abi.encodePacked(
            flaw == Flaw.OTHER_TYPE ? '{"type":"webauthn.new","challenge":"' : '{"type":"webauthn.get","challenge":"',
            Base64.encodeURL(abi.encode(challenge)),
            '","origin":"https://example.org","crossOrigin":false}'
        );
        (bytes32 r, uint256 s) = _signature(
            flaw == Flaw.OTHER_KEY ? secret + 1000 : secret,
            sha256(bytes.concat(data, sha256(client)))
        );
        if (flaw == Flaw.HIGH_S) s = N - s;
        bytes memory encoded = bytes.concat(credIdHash(secret), abi.encode(r, s, 23, 1, data, client));
        return flaw == Flaw.TRAILING_BYTE ? bytes.concat(encoded, hex"00") : encoded;
    }

    function _signature(uint256 secret, bytes32 digest) private pure returns (bytes32 r, uint256 s) {
        bytes32 either;
        (r, either) = vm.signP256(secret, digest);
        s = uint256(either) > N / 2 ? N - uint256(either) : uint256(either);
    }
}
