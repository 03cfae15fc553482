import { expect } from "chai";
import { createSecretKey } from "node:crypto";
import { compactDecrypt } from "jose";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { wrapKey } from "../../../offchain/signer/vault/key-wrap";
import { type Hex, ZERO32, fromHex, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { CAP_REQUEST_TYPE, capRequestDigest } from "../../../offchain/wire/cap-request";
import { sha256Hex } from "../../../offchain/wire/content-hash";
import { deviceBindingDigest } from "../../../offchain/wire/device-binding";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { keccak256Hex, keccakReady } from "../../../offchain/wire/keccak";
import { actorOmni, deviceKeyHash, operatorOmni, serviceHash } from "../../../offchain/wire/names";
import { decryptObject, encodeObjectHeader, encryptObject, parseObject } from "../../../offchain/wire/object";
import { credentialHash, isSealTo, requestProofDigest } from "../../../offchain/wire/request-proof";
import { addressOf, recoverAddress, signDigest } from "../../../offchain/wire/secp256k1";
import vectors from "../../vectors/protocol.json";

const hex = (text: string): Hex => text as Hex;
const secret = fromHex(hex(vectors.k10Secret));
const names = { operatorOmni: hex(vectors.operatorOmni), actorOmni: hex(vectors.actorOmni) };

describe("wire: known answers of protocol 3.10", () => {
  before(keccakReady);
  const separator = (): Buffer =>
    domainSeparator({ chainId: vectors.domain.chainId, registry: hex(vectors.domain.registry) });

  it("names", () => {
    expect(addressOf(secret)).to.equal(vectors.k10Address);
    expect(deviceKeyHash(vectors.k10Address)).to.equal(vectors.deviceKeyHash);
    expect(operatorOmni(vectors.masterAccount)).to.equal(vectors.operatorOmni);
    expect(actorOmni(names.operatorOmni, vectors.label)).to.equal(vectors.actorOmni);
    for (const [service, hash] of Object.entries(vectors.serviceHashes)) expect(serviceHash(service)).to.equal(hash);
  });

  it("CapRequest: type hash, digest, signature", () => {
    const { service, op, dataClass, digest, signature, nonce, ...times } = vectors.capRequest;
    expect(keccak256Hex(Buffer.from(CAP_REQUEST_TYPE))).to.equal(vectors.capRequestTypeHash);
    const bytes = capRequestDigest(separator(), {
      ...names,
      ...times,
      deviceKeyHash: hex(vectors.deviceKeyHash),
      service,
      op: op as "fetch",
      dataClass: dataClass as "credentials",
      contentHash: ZERO32,
      nonce: hex(nonce),
    });
    expect(toHex(bytes)).to.equal(digest);
    expect(signDigest(bytes, secret)).to.equal(signature);
    expect(recoverAddress(bytes, hex(signature))).to.equal(vectors.k10Address);
  });

  it("RequestProof: digest, signature", () => {
    const { method, target, body, credential, nonce, issuedAt, digest, signature } = vectors.requestProof;
    const bytes = requestProofDigest(separator(), {
      deviceKeyHash: hex(vectors.deviceKeyHash),
      method,
      target,
      bodyHash: sha256Hex(Buffer.from(body)),
      credentialHash: credentialHash(credential),
      sealTo: ZERO32,
      nonce: hex(nonce),
      issuedAt,
    });
    expect(toHex(bytes)).to.equal(digest);
    expect(signDigest(bytes, secret)).to.equal(signature);
  });

  it("DeviceBinding: digest", () => {
    const { roles, deadline, digest } = vectors.deviceBinding;
    const binding = { ...names, deviceKey: hex(vectors.k10Address), roles, attestationHash: ZERO32, deadline };
    expect(toHex(deviceBindingDigest(separator(), binding))).to.equal(digest);
  });

  it("object key, and an object that jose opens with it", async () => {
    const name = { ...names, dataClass: "credentials" as const, service: "openrouter" };
    const key = objectKey(fromHex(hex(vectors.objectKey.k3)), name);
    expect(toHex(key)).to.equal(vectors.objectKey.key);
    const contentKey = Buffer.alloc(64, 7);
    const storedBy = {
      device_key_hash: hex(vectors.deviceKeyHash),
      content_hash: ZERO32,
      k3_epoch: 1,
      issued_at: 1,
      expires_at: 2,
      nonce: ZERO32,
      client_sig: hex(vectors.capRequest.signature),
    };
    const header = encodeObjectHeader({ name, epoch: 1, version: 1, contentSalt: ZERO32, storedBy });
    const bytes = encryptObject(header, toBase64url(wrapKey(key, contentKey)), contentKey, Buffer.from("sk-secret"));
    const opened = await compactDecrypt(bytes.toString(), createSecretKey(key));
    expect(Buffer.from(opened.plaintext).toString()).to.equal("sk-secret");
    const parsed = parseObject(bytes);
    expect(parsed && decryptObject(parsed, contentKey)?.toString()).to.equal("sk-secret");
    expect(parsed && decryptObject(parsed, Buffer.alloc(64, 8))).to.equal(undefined);
  });

  it("refuses every other form of a signature", () => {
    const digest = fromHex(hex(vectors.capRequest.digest));
    const good = vectors.capRequest.signature;
    const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const high = (n - BigInt(`0x${good.slice(66, 130)}`)).toString(16).padStart(64, "0");
    const forms = {
      "64 bytes": good.slice(0, 130),
      "v 0": `${good.slice(0, 130)}00`,
      "v 29": `${good.slice(0, 130)}1d`,
      "high s": `${good.slice(0, 66)}${high}1c`,
      "r zero": `0x${"00".repeat(32)}${good.slice(66)}`,
      "s zero": `${good.slice(0, 66)}${"00".repeat(32)}1b`,
    };
    for (const [name, form] of Object.entries(forms)) {
      expect(recoverAddress(digest, hex(form)), name).to.equal(undefined);
    }
  });

  it("refuses small-order points to seal to, with and without the masked bit", () => {
    expect(isSealTo(ZERO32)).to.equal(true);
    expect(isSealTo(`0x01${"00".repeat(31)}`)).to.equal(false);
    expect(isSealTo(`0x01${"00".repeat(30)}80`)).to.equal(false);
    expect(isSealTo(`0xec${"ff".repeat(30)}7f`)).to.equal(false);
    expect(isSealTo(`0x09${"00".repeat(31)}`)).to.equal(true);
  });
});
