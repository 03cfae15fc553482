// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

contract P256Verifier {
    uint256 private constant P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF;
    uint256 private constant N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
    uint256 private constant B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B;
    uint256 private constant HALF_N = 0x7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8;
    uint256 private constant THREE_HALVES = 0x7FFFFFFF80000000800000000000000000000000800000000000000000000001;
    uint256 private constant BIAS = 0x0888888888888888888888888888888888888888888888888888888888888888;

    fallback() external {
        assembly {
            function inverse(a, q) -> b {
                mstore(0x880, 0x20)
                mstore(0x8a0, 0x20)
                mstore(0x8c0, 0x20)
                mstore(0x8e0, a)
                mstore(0x900, sub(q, 2))
                mstore(0x920, q)
                let done := staticcall(gas(), 5, 0x880, 0xc0, 0x880, 0x20)
                b := mload(0x880)
                if iszero(eq(mulmod(a, b, q), done)) {
                    revert(0, 0)
                }
            }
            function twice(x1, y1, z1, p) -> x3, y3, z3 {
                let t := mulmod(z1, z1, p)
                t := mulmod(t, sub(p, t), p)
                let m := mulmod(THREE_HALVES, addmod(mulmod(x1, x1, p), t, p), p)
                let g := mulmod(y1, y1, p)
                let s := mulmod(x1, sub(p, g), p)
                x3 := addmod(mulmod(m, m, p), addmod(s, s, p), p)
                y3 := addmod(mulmod(m, addmod(x3, s, p), p), mulmod(g, g, p), p)
                y3 := sub(p, y3)
                z3 := mulmod(y1, z1, p)
            }
            function plus(x1, y1, z1, at, p) -> x3, y3, z3 {
                x3 := x1
                y3 := y1
                z3 := z1
                let ny := mload(add(at, 0x20))
                if ny {
                    let nx := mload(at)
                    let zz := mulmod(z1, z1, p)
                    let h := addmod(mulmod(nx, zz, p), x1, p)
                    let r := addmod(mulmod(ny, mulmod(z1, zz, p), p), y1, p)
                    switch h
                    case 0 {
                        switch z1
                        case 0 {
                            x3 := sub(p, nx)
                            y3 := sub(p, ny)
                            z3 := 1
                        }
                        default {
                            switch r
                            case 0 {
                                x3, y3, z3 := twice(sub(p, nx), sub(p, ny), 1, p)
                            }
                            default {
                                x3 := 0
                                y3 := 0
                                z3 := 0
                            }
                        }
                    }
                    default {
                        let hh := mulmod(h, h, p)
                        let g := mulmod(h, hh, p)
                        let w := mulmod(x1, sub(p, hh), p)
                        x3 := addmod(addmod(mulmod(r, r, p), g, p), addmod(w, w, p), p)
                        y3 := addmod(mulmod(r, addmod(w, x3, p), p), mulmod(y1, g, p), p)
                        z3 := mulmod(z1, sub(p, h), p)
                    }
                }
            }
            function entry(at, x, y, p) {
                mstore(sub(0x200, at), sub(p, x))
                mstore(sub(0x220, at), y)
                mstore(add(0x200, at), sub(p, x))
                mstore(add(0x220, at), sub(p, y))
            }
            function gentry(at, nx, y, p) {
                mstore(sub(0x640, at), nx)
                mstore(sub(0x660, at), y)
                mstore(add(0x640, at), nx)
                mstore(add(0x660, at), sub(p, y))
            }

            let r := calldataload(0x20)
            let s := calldataload(0x40)
            let x := calldataload(0x60)
            let y := calldataload(0x80)
            let p := mul(P, eq(calldatasize(), 160))
            {
                let ok := and(and(lt(sub(r, 1), sub(N, 1)), lt(sub(s, 1), sub(N, 1))), and(lt(x, p), lt(y, p)))
                let cube := addmod(mulmod(addmod(mulmod(x, x, p), sub(p, 3), p), x, p), B, p)
                if iszero(and(ok, eq(mulmod(y, y, p), cube))) {
                    stop()
                }
            }
            let u1, u2
            {
                s := inverse(s, N)
                u1 := mulmod(calldataload(0), s, N)
                u2 := mulmod(r, s, N)
                if gt(u1, HALF_N) {
                    u1 := sub(N, u1)
                    u2 := sub(N, u2)
                }
                if gt(u2, HALF_N) {
                    u2 := sub(N, u2)
                    y := sub(p, y)
                }
                u1 := add(u1, BIAS)
                u2 := add(u2, BIAS)
            }
            // Q table
            {
                entry(0x40, x, y, p)
                mstore(0xa80, x)
                mstore(0xaa0, y)
                mstore(0xac0, 1)
                mstore(0xae0, 1)
                let c := 1
                for {
                    let i := 1
                } lt(i, 5) {
                    i := add(i, 1)
                } {
                    let j := add(0xa00, shl(7, i))
                    let x3, y3, z3 := twice(mload(j), mload(add(j, 0x20)), mload(add(j, 0x40)), p)
                    j := add(0xa00, shl(8, i))
                    mstore(j, x3)
                    mstore(add(j, 0x20), y3)
                    mstore(add(j, 0x40), z3)
                    c := mulmod(c, z3, p)
                    mstore(add(j, 0x60), c)
                    if eq(i, 4) {
                        break
                    }
                    x3, y3, z3 := plus(x3, y3, z3, 0x240, p)
                    mstore(add(j, 0x80), x3)
                    mstore(add(j, 0xa0), y3)
                    mstore(add(j, 0xc0), z3)
                    c := mulmod(c, z3, p)
                    mstore(add(j, 0xe0), c)
                }
                c := inverse(c, p)
                for {
                    let i := 8
                } gt(i, 1) {
                    i := sub(i, 1)
                } {
                    let j := add(0xa00, shl(7, i))
                    let zi := mulmod(c, mload(sub(j, 0x20)), p)
                    c := mulmod(c, mload(add(j, 0x40)), p)
                    let zz := mulmod(zi, zi, p)
                    entry(shl(6, i), mulmod(mload(j), zz, p), mulmod(mload(add(j, 0x20)), mulmod(zz, zi, p), p), p)
                }
            }
            gentry(
                0x40,
                0x94e82e0c1ed3bdb90743191a9c5bbf0d88fc827fd214cc5f0b5ec6ba27673d69,
                0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5,
                p
            )
            gentry(
                0x80,
                0x830d84e672fcb08275adc7fcfb4ae53c3f76961e880de4ca59f4b703b8996687,
                0x07775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1,
                p
            )
            gentry(
                0xc0,
                0xa1341b2d59ccf5bc3708106ae2b40e9a193948df1052567a04be99e439180293,
                0x8734640c4998ff7e374b06ce1a64a2ecd82ab036384fb83d9a79b127a27d5032,
                p
            )
            gentry(
                0x100,
                0x1dacb5c9cd2f70455fd2219a6119d42ffce01d2587aa6910af6cfdbb94fcf7ad,
                0xe0f1575a4c633cc719dfee5fda862d764efc96c3f30ee0055c42c23f184ed8c6,
                p
            )
            gentry(
                0x140,
                0xaea6f484aeaebf2e287b37a9f799702010737d03e0a41adbdeaab5f23c2fcc12,
                0xe0c17da8904a727d8ae1bf36bf8a79260d012f00d4d80888d1d0bb44fda16da4,
                p
            )
            gentry(
                0x180,
                0x4fe5e8d4895b9fd46d2cdbd34768221cfdb38bf3144dea4b394f5516c3dd6e56,
                0xe85c10743237dad56fec0e2dfba703791c00f7701c7e16bdfd7c48538fc77fe2,
                p
            )
            gentry(
                0x1c0,
                0x71acc48f5f4084bada44cf9983fe049f8106074857f010a4cff9d78fce784d5c,
                0x73eb1dbde03318366d069f83a6f5900053c73633cb041b21c55e1a86c1f400b4,
                p
            )
            gentry(
                0x200,
                0x9d26886141164fadbfbd8bd2c54ab3523e2dc768f03168244b22623e24904c6c,
                0xad5accbd91e9d8244ff15d771167cee0a2ed51f6bbe76a78da540a6a0f09957e,
                p
            )
            let a := shl(6, add(shr(252, u1), 8))
            let b := shl(6, add(shr(252, u2), 8))
            let z := 0
            x := 0
            y := 0
            for {
                let i := 252
            } 1 {} {
                x, y, z := plus(x, y, z, b, p)
                x, y, z := plus(x, y, z, add(a, 0x440), p)
                if iszero(i) {
                    break
                }
                i := sub(i, 4)
                a := shl(6, and(shr(i, u1), 15))
                b := shl(6, and(shr(i, u2), 15))

                let t := mulmod(z, z, p)
                t := mulmod(t, sub(p, t), p)
                let m, g
                m := mulmod(THREE_HALVES, addmod(mulmod(x, x, p), t, p), p)
                g := mulmod(y, y, p)
                z := mulmod(y, z, p)
                s := mulmod(x, sub(p, g), p)
                g := mulmod(g, g, p)
                x := addmod(mulmod(m, m, p), addmod(s, s, p), p)
                y := addmod(mulmod(m, addmod(x, s, p), p), g, p)
                t := mulmod(t, g, p)

                m := mulmod(THREE_HALVES, addmod(mulmod(x, x, p), t, p), p)
                g := mulmod(y, y, p)
                z := mulmod(y, z, p)
                s := mulmod(x, sub(p, g), p)
                g := mulmod(g, g, p)
                x := addmod(mulmod(m, m, p), addmod(s, s, p), p)
                y := addmod(mulmod(m, addmod(x, s, p), p), g, p)
                t := mulmod(t, g, p)

                m := mulmod(THREE_HALVES, addmod(mulmod(x, x, p), t, p), p)
                g := mulmod(y, y, p)
                z := mulmod(y, z, p)
                s := mulmod(x, sub(p, g), p)
                g := mulmod(g, g, p)
                x := addmod(mulmod(m, m, p), addmod(s, s, p), p)
                y := addmod(mulmod(m, addmod(x, s, p), p), g, p)
                t := mulmod(t, g, p)

                m := mulmod(THREE_HALVES, addmod(mulmod(x, x, p), t, p), p)
                g := mulmod(y, y, p)
                z := mulmod(y, z, p)
                s := mulmod(x, sub(p, g), p)
                g := mulmod(g, g, p)
                x := addmod(mulmod(m, m, p), addmod(s, s, p), p)
                y := addmod(mulmod(m, addmod(x, s, p), p), g, p)
            }
            z := mulmod(z, z, p)
            let valid := eq(x, mulmod(r, z, p))
            if lt(r, sub(P, N)) {
                valid := or(valid, eq(x, mulmod(add(r, N), z, p)))
            }
            if and(valid, gt(z, 0)) {
                mstore(0, 1)
                return(0, 0x20)
            }
            stop()
        }
    }
}
