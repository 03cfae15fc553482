import fc from "fast-check";

import { type Hex, toHex } from "../../offchain/wire/bytes";
import type { CapRequest } from "../../offchain/wire/cap-request";
import type { DataClass, Op } from "../../offchain/wire/names";
import type { ObjectName, StoredBy } from "../../offchain/wire/stored-by";

const bytesHex = (length: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => toHex(bytes));

/** 32 bytes as the wire writes them. */
export const anyBytes32 = bytesHex(32);

/** 65 bytes as the wire writes them; hardly ever a good signature. */
export const anySignature = bytesHex(65);

/** 0 … 2⁵³−1. */
export const anyWhole = fc.maxSafeNat();

/** A service name. */
export const anyService = fc.stringMatching(/^[a-z0-9][a-z0-9._:-]{0,63}$/).filter((name) => !name.includes(".."));

/** One of the three data classes. */
export const anyDataClass = fc.constantFrom<DataClass>("credentials", "memory", "config");

/** The name of an object. */
export const anyName: fc.Arbitrary<ObjectName> = fc.record({
  operatorOmni: anyBytes32,
  actorOmni: anyBytes32,
  dataClass: anyDataClass,
  service: anyService,
});

/** Who stored a version. */
export const anyStoredBy: fc.Arbitrary<StoredBy> = fc.record({
  device_key_hash: anyBytes32,
  content_hash: anyBytes32,
  k3_epoch: anyWhole,
  issued_at: anyWhole,
  expires_at: anyWhole,
  nonce: anyBytes32,
  client_sig: anySignature,
});

/** A cap request whose form is right. */
export const anyCapRequest: fc.Arbitrary<CapRequest> = fc
  .record({
    name: anyName,
    deviceKeyHash: anyBytes32,
    op: fc.constantFrom<Op>("store", "fetch", "teardown", "rotate", "classify"),
    contentHash: anyBytes32,
    k3Epoch: anyWhole,
    issuedAt: fc.nat(),
    life: fc.integer({ min: 1, max: 300 }),
    nonce: anyBytes32,
  })
  .map(({ name, life, op, contentHash, ...rest }) => ({
    ...name,
    ...rest,
    op,
    contentHash: op === "store" ? contentHash : `0x${"00".repeat(32)}`,
    expiresAt: rest.issuedAt + life,
  }));
