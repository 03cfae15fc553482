// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { P256GeneratorTable } from "../libraries/P256GeneratorTable.sol";

/**
 * @title P-256 verification for chains without the precompile
 * @notice Takes exactly the input of the precompile of EIP-7951 and RIP-7212 (hash ‖ r ‖ s ‖ x ‖ y, 160 bytes) and answers
 * in its form: 32 bytes of one when the signature is valid, nothing otherwise. Never reverts.
 * @dev High `s` is refused, which the precompile accepts: accounts refuse it as well. Source, build and tests are in
 * docs/decisions/0003-p256-verifier.md.
 *
 * R = u1·G + u2·Q with u1 = hash / s and u2 = r / s. A scalar k is written as the number b = (k + 2^256 - 1) / 2 modulo the
 * order: then k = Σ (2·d - 15)·16^i over the 64 nibbles d of b, and k = Σ (2·d - 255)·256^i over its 32 bytes. Every digit
 * is odd, so there is no digit zero and no carry, and k = 0 is like every other. 252 doublings, 63 additions of ±Q … ±15·Q
 * from a table made for the key, 32 additions of ±G … ±255·G from a fixed one; both tables are affine.
 *
 * Points are Jacobian: (x, y, z) is (x/z², y/z³). Infinity has z = 0 and x = 0. Values are kept below the prime, so that
 * zero has one form. Doubling is complete: the order is odd, so no point has y = 0, and infinity stays what it is. Addition
 * is not: where the two x are equal or the sum so far is infinity its h is zero, and `coincide` decides what they are. No
 * other case exists, whatever key and signature an attacker makes.
 *
 * Memory, all of it this contract's own since nothing is allocated: 0x0000 the key's table, (2·d - 15)·Q at 64·d; 0x0400
 * the generator's table, before which the same place holds the key's multiples in the making and the call of 0x05.
 * A table's entry is x, then p - y.
 */
contract P256Verifier {
    /// @dev The prime, the order and the curve's b; a is -3.
    uint256 private constant P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff;
    uint256 private constant N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    uint256 private constant B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b;

    /// @dev (n - 1) / 2, the highest low `s`; p - n; 1/2 modulo n; 3/2 modulo p.
    uint256 private constant MAX_S = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8;
    uint256 private constant P_MINUS_N = 0x4319055358e8617b0c46353d039cdaae;
    uint256 private constant HALF_MOD_N = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9;
    uint256 private constant THREE_HALVES = 0x7fffffff80000000800000000000000000000000800000000000000000000001;

    /// @notice Verifies; see the contract's own words for input and answer.
    fallback() external {
        if (_isValid()) {
            assembly {
                mstore(0x00, 1)
                return(0x00, 0x20)
            }
        }
    }

    function _isValid() private view returns (bool valid) {
        (bool wellFormed, uint256 r, uint256 s, uint256 qx, uint256 qy) = _input();
        if (!wellFormed) return false;
        uint256 b1;
        uint256 b2 = _inverse(s, N);
        assembly {
            b1 := mulmod(addmod(mulmod(calldataload(0x00), b2, N), not(0), N), HALF_MOD_N, N)
            b2 := mulmod(addmod(mulmod(r, b2, N), not(0), N), HALF_MOD_N, N)
        }
        _loadKeyTable(qx, qy);
        P256GeneratorTable.load();
        (uint256 x, uint256 z) = _sum(b1, b2);
        assembly {
            // the affine x of R is below p and is compared modulo n: it is r, or r + n where that is below p
            let zz := mulmod(z, z, P)
            valid := eq(x, mulmod(r, zz, P))
            if lt(r, P_MINUS_N) {
                valid := or(valid, eq(x, mulmod(add(r, N), zz, P)))
            }
            valid := and(valid, gt(z, 0))
        }
    }

    /// @dev The input but for the hash; well formed if 0 < r < n, 0 < s ≤ (n - 1) / 2 and (x, y) is a point of the curve with
    /// coordinates below the prime, which (0, 0) is not.
    function _input() private pure returns (bool wellFormed, uint256 r, uint256 s, uint256 x, uint256 y) {
        assembly {
            r := calldataload(0x20)
            s := calldataload(0x40)
            x := calldataload(0x60)
            y := calldataload(0x80)
            let cubic := addmod(mulmod(addmod(mulmod(x, x, P), sub(P, 3), P), x, P), B, P)
            wellFormed := and(and(lt(x, P), lt(y, P)), eq(mulmod(y, y, P), cubic))
            wellFormed := and(wellFormed, and(lt(sub(r, 1), sub(N, 1)), lt(sub(s, 1), MAX_S)))
            wellFormed := and(wellFormed, eq(calldatasize(), 160))
        }
    }

    /// @dev a^(m - 2) by the precompile 0x05: the inverse of a, not zero, modulo the prime m. Taken only if it is the inverse;
    /// where the precompile fails nothing is valid.
    function _inverse(uint256 a, uint256 m) private view returns (uint256 inverse) {
        assembly {
            mstore(0x0800, 0x20)
            mstore(0x0820, 0x20)
            mstore(0x0840, 0x20)
            mstore(0x0860, a)
            mstore(0x0880, sub(m, 2))
            mstore(0x08a0, m)
            pop(staticcall(not(0), 0x05, 0x0800, 0xc0, 0x0800, 0x20))
            inverse := mload(0x0800)
            if iszero(eq(mulmod(a, inverse, m), 1)) {
                return(0x00, 0x00)
            }
        }
    }

    /// @dev Writes (2·d - 15)·Q for d in 0..15 to memory. 3·Q … 15·Q come by adding 2·Q seven times; the two always share one
    /// z, which each addition multiplies by the difference f of their x. None of them is zero: it would take a multiple of Q,
    /// whose order is the prime n, between -17 and 17 that is infinity. One inversion makes all of them affine.
    function _loadKeyTable(uint256 qx, uint256 qy) private view {
        uint256 z = qy;
        assembly {
            // (x, y) is Q and (dx, dy) is 2·Q, both with z = qy
            let y := mulmod(qy, qy, P)
            let x := mulmod(qx, y, P)
            y := mulmod(y, y, P)
            let dx := mulmod(THREE_HALVES, addmod(mulmod(qx, qx, P), sub(P, 1), P), P)
            let dy := dx
            dx := addmod(mulmod(dx, dx, P), mulmod(x, sub(P, 2), P), P)
            dy := addmod(mulmod(dy, addmod(x, sub(P, dx), P), P), sub(P, y), P)
            for {
                let at := 0x0400
            } lt(at, 0x06a0) {
                at := add(at, 0x60)
            } {
                let f := addmod(dx, sub(P, x), P)
                let ff := mulmod(f, f, P)
                let e := addmod(dy, sub(P, y), P)
                z := mulmod(z, f, P)
                x := mulmod(x, ff, P)
                dx := mulmod(dx, ff, P)
                dy := mulmod(dy, mulmod(f, ff, P), P)
                x := addmod(mulmod(e, e, P), sub(P, addmod(x, dx, P)), P)
                y := addmod(mulmod(e, addmod(dx, sub(P, x), P), P), sub(P, dy), P)
                mstore(at, x)
                mstore(add(at, 0x20), y)
                mstore(add(at, 0x40), f)
            }
        }
        uint256 inverse = _inverse(z, P);
        assembly {
            // from ±15·Q inwards
            let positive := 0x03c0
            let negative := 0x0000
            for {
                let at := 0x0640
            } gt(at, 0x03ff) {
                at := sub(at, 0x60)
            } {
                let square := mulmod(inverse, inverse, P)
                let x := mulmod(mload(at), square, P)
                let y := mulmod(mload(add(at, 0x20)), mulmod(inverse, square, P), P)
                mstore(positive, x)
                mstore(add(positive, 0x20), sub(P, y))
                mstore(negative, x)
                mstore(add(negative, 0x20), y)
                inverse := mulmod(inverse, mload(add(at, 0x40)), P)
                positive := sub(positive, 0x40)
                negative := add(negative, 0x40)
            }
            mstore(positive, qx)
            mstore(add(positive, 0x20), sub(P, qy))
            mstore(negative, qx)
            mstore(add(negative, 0x20), qy)
        }
    }

    /// @dev u1·G + u2·Q by the digits of b1 and b2, without its y.
    function _sum(uint256 b1, uint256 b2) private pure returns (uint256 x, uint256 z) {
        assembly {
            // The sum of a point and the affine (x2, p - ny2) where h is zero. The point is infinity (z = 0), the same (d = 0)
            // or the opposite. The caller multiplies z3 by h.
            function coincide(x2, ny2, d, z1) -> x3, y3, z3, h {
                h := 1
                switch z1
                case 0 {
                    x3 := x2
                    y3 := sub(P, ny2)
                    z3 := 1
                }
                default {
                    if iszero(d) {
                        let yy := mulmod(ny2, ny2, P)
                        let ns := sub(P, mulmod(x2, yy, P))
                        let m := mulmod(THREE_HALVES, addmod(mulmod(x2, x2, P), sub(P, 1), P), P)
                        x3 := addmod(mulmod(m, m, P), addmod(ns, ns, P), P)
                        y3 := addmod(mulmod(m, addmod(x3, ns, P), P), mulmod(yy, yy, P), P)
                        z3 := ny2
                    }
                }
            }

            // the highest nibble's entry
            let y := shl(6, shr(252, b2))
            x := mload(y)
            y := sub(P, mload(add(y, 0x20)))
            z := 1
            for {
                let i := 248
            } 1 {
                i := sub(i, 4)
            } {
                // Four doublings, the same lines four times. With z3 = y·z, not 2·y·z:
                //   m = 3/2·(x² - z⁴), s = x·y², x3 = m² - 2·s, y3 = m·(s - x3) - y⁴.
                // Each leaves -y3 instead: that is the double with -z, and four of them give z its sign back.
                {
                    let nz4 := mulmod(z, z, P)
                    nz4 := sub(P, mulmod(nz4, nz4, P))
                    {
                        let yy := mulmod(y, y, P)
                        let ns := sub(P, mulmod(x, yy, P))
                        let m := mulmod(THREE_HALVES, addmod(mulmod(x, x, P), nz4, P), P)
                        let y4 := mulmod(yy, yy, P)
                        z := mulmod(z, y, P)
                        x := addmod(addmod(mulmod(m, m, P), ns, P), ns, P)
                        y := addmod(y4, mulmod(m, addmod(ns, x, P), P), P)
                        nz4 := mulmod(nz4, y4, P)
                    }
                    {
                        let yy := mulmod(y, y, P)
                        let ns := sub(P, mulmod(x, yy, P))
                        let m := mulmod(THREE_HALVES, addmod(mulmod(x, x, P), nz4, P), P)
                        let y4 := mulmod(yy, yy, P)
                        z := mulmod(z, y, P)
                        x := addmod(addmod(mulmod(m, m, P), ns, P), ns, P)
                        y := addmod(y4, mulmod(m, addmod(ns, x, P), P), P)
                        nz4 := mulmod(nz4, y4, P)
                    }
                    {
                        let yy := mulmod(y, y, P)
                        let ns := sub(P, mulmod(x, yy, P))
                        let m := mulmod(THREE_HALVES, addmod(mulmod(x, x, P), nz4, P), P)
                        let y4 := mulmod(yy, yy, P)
                        z := mulmod(z, y, P)
                        x := addmod(addmod(mulmod(m, m, P), ns, P), ns, P)
                        y := addmod(y4, mulmod(m, addmod(ns, x, P), P), P)
                        nz4 := mulmod(nz4, y4, P)
                    }
                    {
                        let yy := mulmod(y, y, P)
                        let ns := sub(P, mulmod(x, yy, P))
                        let m := mulmod(THREE_HALVES, addmod(mulmod(x, x, P), nz4, P), P)
                        let y4 := mulmod(yy, yy, P)
                        z := mulmod(z, y, P)
                        x := addmod(addmod(mulmod(m, m, P), ns, P), ns, P)
                        y := addmod(y4, mulmod(m, addmod(ns, x, P), P), P)
                    }
                }
                // (2·d - 15)·Q for the nibble d at bit i. With h = x2·z² - x and d = y - y2·z³:
                //   z3 = z·h, x3 = d² - h³ - 2·x·h², y3 = d·(x3 - x·h²) - y·h³.
                {
                    let entry := shl(6, and(shr(i, b2), 0x0f))
                    let zz := mulmod(z, z, P)
                    let d := addmod(y, mulmod(mload(add(entry, 0x20)), mulmod(z, zz, P), P), P)
                    let nv := sub(P, x)
                    let h := addmod(mulmod(mload(entry), zz, P), nv, P)
                    let hh := mulmod(h, h, P)
                    nv := mulmod(nv, hh, P)
                    hh := mulmod(hh, sub(P, h), P)
                    x := addmod(addmod(addmod(mulmod(d, d, P), hh, P), nv, P), nv, P)
                    y := addmod(mulmod(y, hh, P), mulmod(d, addmod(nv, x, P), P), P)
                    if iszero(h) {
                        x, y, z, h := coincide(mload(entry), mload(add(entry, 0x20)), d, z)
                    }
                    z := mulmod(z, h, P)
                }
                if and(i, 4) {
                    continue
                }
                // (2·d - 255)·G for the byte d at bit i, in the same way
                {
                    let entry := and(shr(i, b1), 0xff)
                    let ny2
                    switch and(entry, 0x80)
                    case 0 {
                        entry := sub(shl(6, xor(entry, 0xff)), 0x1c00)
                        ny2 := sub(P, mload(add(entry, 0x20)))
                    }
                    default {
                        entry := sub(shl(6, entry), 0x1c00)
                        ny2 := mload(add(entry, 0x20))
                    }
                    let zz := mulmod(z, z, P)
                    let d := addmod(y, mulmod(ny2, mulmod(z, zz, P), P), P)
                    let nv := sub(P, x)
                    let h := addmod(mulmod(mload(entry), zz, P), nv, P)
                    let hh := mulmod(h, h, P)
                    nv := mulmod(nv, hh, P)
                    hh := mulmod(hh, sub(P, h), P)
                    x := addmod(addmod(addmod(mulmod(d, d, P), hh, P), nv, P), nv, P)
                    y := addmod(mulmod(y, hh, P), mulmod(d, addmod(nv, x, P), P), P)
                    if iszero(h) {
                        x, y, z, h := coincide(mload(entry), ny2, d, z)
                    }
                    z := mulmod(z, h, P)
                }
                if iszero(i) {
                    break
                }
            }
        }
    }
}
