// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { IMasterAccount } from "../../contracts/interfaces/IMasterAccount.sol";
import { RecoveryHandler } from "./RecoveryHandler.sol";
import { Handler } from "./support/Handler.sol";
import { InvariantTest } from "./support/InvariantTest.sol";
import { Passkeys } from "./support/Passkeys.sol";
import { vm } from "./support/Vm.sol";

/// @title Passkeys change by passkeys, as slowly as guardians are, or by enough guardians after the delay
contract RecoveryProperties is RecoveryHandler {
    constructor(uint256 configuration) RecoveryHandler(configuration) {}

    /// @notice Whether a recovery is pending, and whether it can be finished.
    function recoveryState() external view returns (bool pending, bool ripe) {
        return (_isPending(), _isPending() && block.timestamp >= _notBefore);
    }

    /// @notice Reverts unless these are all passkeys, the operator is the account's, and nothing of before goes on.
    function checkRecovered(uint256 set) external view {
        require(_passkeys == _passkeysOf(set).length && _active[set / 10], "the account is not its owner's");
        require(_isMaster && _acceptableAt == 0, "the operator is not the account's, or not for long");
        require(_sessionUntil == 0, "a session of before goes on");
    }

    function _checkAll() internal view override {
        IMasterAccount account = IMasterAccount(_account);
        require(_sink.calls(_account) == _calls, "the account called what no passkey and no session may");
        uint256 count = account.passkeyCount();
        require(count > 0 && count == _passkeys, "the account has another number of passkeys, or none");
        for (uint256 secret = 1; secret <= SECRETS; ++secret) {
            require(
                account.isPasskey(Passkeys.credIdHash(secret)) == _active[secret],
                "a passkey is one that should not be, or is not"
            );
        }
        _checkRecovery();
        _checkOperator();
    }

    function _checkRecovery() private view {
        (bytes[] memory guardians, uint8 threshold, uint32 delay) = _recovery.configurationOf(_account);
        require(
            keccak256(abi.encode(guardians, threshold, delay)) == _idOf(_configuration),
            "guardians, threshold or delay are others"
        );
        require(_recovery.recoveryNonce(_account) == _nonce, "a nonce was used by nobody, or not used up");
        (, uint64 notBefore, bytes32 next) = _recovery.pendingOf(_account);
        require(notBefore == _notBefore, "a recovery is pending that should not be, or is not");
        require(
            next == (_isPending() ? _recovery.hashPasskeys(_passkeysOf(_next)) : bytes32(0)),
            "a recovery is for other passkeys"
        );
        require(IMasterAccount(_account).recoveryPending() == _isPending(), "the account says otherwise");
        require(_recovery.cancellableAt(_account) == _cancellableAt, "the account may cancel at another time");
        for (uint256 change = 0; change < CHANGES; ++change) {
            require(_recovery.readyAt(_account, _idOf(change)) == _ready[change], "a change lives that should not");
        }
    }

    function _checkOperator() private view {
        require(
            _registry.masterOf(_omni) == (_isMaster ? _account : HEIR),
            "the operator is another's than it should be"
        );
        (bool live, , ) = _validator.sessionOf(_account, vm.addr(7001));
        require(live == (block.timestamp < _sessionUntil), "a session is live that should not be, or not");
    }
}

contract RecoveryInvariants is InvariantTest {
    uint256 private constant THEFTS = 24;
    uint256 private constant MOVES = 6; // of the thief, between two looks of the guardians
    uint256 private constant LOOK = 20 hours; // below every delay, and below the 48 hours of a transfer

    function newHandler() internal override returns (Handler) {
        return new RecoveryProperties(0);
    }

    /// @notice Guardians that look every 20 hours, restart what was cancelled and finish what is ripe, end with the
    /// account: with their second recovery at the latest. The thief moves at random in between.
    function test_guardiansEndWithTheAccount() external {
        uint256 most = 0;
        for (uint256 theft = 0; theft < THEFTS; ++theft) {
            uint256 starts = _recover(new RecoveryProperties(1 + (theft % 4)), theft);
            if (starts > most) most = starts;
        }
        require(most == 2, "no thief cancelled, or one did twice");
    }

    function _recover(RecoveryProperties acting, uint256 theft) private returns (uint256 starts) {
        bytes4[] memory acts = acting.hostileActs();
        uint256 set = 50; // one new passkey, which the thief may add before
        for (uint256 look = 0; look < 40; ++look) {
            for (uint256 move = 0; move < MOVES; ++move) {
                uint256 seed = uint256(keccak256(abi.encode(theft, look, move)));
                (bool ok, ) = address(acting).call(
                    abi.encodePacked(acts[seed % acts.length], keccak256(abi.encode(seed)))
                );
                require(ok, "an act reverted");
                vm.warp(block.timestamp + LOOK / MOVES);
            }
            (bool pending, bool ripe) = acting.recoveryState();
            if (!pending) {
                require(acting.startFor(theft, set), "guardians could not start");
                ++starts;
            } else if (ripe) {
                acting.finish(1);
                (pending, ) = acting.recoveryState();
                if (pending) acting.finish(2);
                acting.check();
                acting.checkRecovered(set);
                return starts;
            }
        }
        revert("the guardians did not end with the account");
    }
}
