import { createHmac, createPrivateKey, createPublicKey, createSecretKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { TypedDataEncoder, keccak256, toUtf8Bytes, verifyTypedData } from "ethers";
import { type JWK, compactDecrypt, compactVerify, createLocalJWKSet } from "jose";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { wrapKey } from "../../../offchain/signer/vault/key-wrap";
import { type Hex, ZERO32, fromHex, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { capAudience, capSignatureIsValid, encodeCap, parseCap } from "../../../offchain/wire/cap";
import { type CapRequest, capRequestDigest } from "../../../offchain/wire/cap-request";
import { contentHash, sha256Hex } from "../../../offchain/wire/content-hash";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { freezeDigest } from "../../../offchain/wire/freeze";
import { hpkeOpen, sealKeyPairFrom } from "../../../offchain/wire/hpke";
import { parseJwks, publicJwk } from "../../../offchain/wire/jwks";
import { keccakReady } from "../../../offchain/wire/keccak";
import { MINT_ROUTES, encodeMint, parseMint } from "../../../offchain/wire/mint";
import {
  decryptObject,
  encodeObjectHeader,
  encodeTombstone,
  parseObject,
  parseTombstone,
} from "../../../offchain/wire/object";
import { PROBLEMS } from "../../../offchain/wire/problem";
import { REPLY_INFO, parseFetchAnswer } from "../../../offchain/wire/redeem";
import {
  credentialHash,
  encodeProofHeader,
  parseProofHeader,
  requestProofDigest,
} from "../../../offchain/wire/request-proof";
import { recoverAddress, signDigest } from "../../../offchain/wire/secp256k1";
import { storeRequestOf, storedBy } from "../../../offchain/wire/stored-by";
import { openByHand } from "../../helpers/hpke-by-hand";
import frozen from "../../vectors/frozen.json";
import vectors from "../../vectors/protocol.json";

const hex = (text: string): Hex => text as Hex;
const k10 = fromHex(hex(vectors.k10Secret));
const name = {
  operatorOmni: hex(vectors.operatorOmni),
  actorOmni: hex(vectors.actorOmni),
  dataClass: "credentials" as const,
  service: "openrouter",
};
const device = { ...name, deviceKeyHash: hex(vectors.deviceKeyHash), contentHash: ZERO32, k3Epoch: 1 };
const { issuedAt, expiresAt, nonce, signature: fetchSig } = vectors.capRequest;
const fetchCap: CapRequest = { ...device, op: "fetch", issuedAt, expiresAt, nonce: hex(nonce) };

interface FrozenCap {
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly nonce: string;
}
const capOf = (op: "store" | "teardown", contentHash: Hex, { issuedAt, expiresAt, nonce }: FrozenCap): CapRequest => ({
  ...device,
  op,
  contentHash,
  issuedAt,
  expiresAt,
  nonce: hex(nonce),
});
const storeCap = capOf("store", hex(frozen.contentHash.hash), frozen.object.storeCap);
const teardownCap = capOf("teardown", ZERO32, frozen.tombstone.teardownCap);
const header = {
  name,
  epoch: frozen.object.epoch,
  version: frozen.object.version,
  contentSalt: hex(frozen.contentHash.salt),
  storedBy: storedBy(storeCap, hex(frozen.object.storeCap.signature)),
};
const wrapping = objectKey(fromHex(hex(vectors.objectKey.k3)), name);
const contentKey = fromHex(hex(frozen.object.contentKey));
const secretText = Buffer.from(frozen.contentHash.plaintext);

// the same domain and types as ethers words them
const domain = {
  name: "AgentKeys",
  version: "2",
  chainId: vectors.domain.chainId,
  verifyingContract: vectors.domain.registry,
};
const fields = (text: string): { name: string; type: string }[] =>
  text.split(",").map((one) => {
    const [type = "", name = ""] = one.split(" ");
    return { name, type };
  });

describe("wire: what protocol 3.13 froze, by our own code", () => {
  let separator: Buffer;

  before(async () => {
    await keccakReady();
    separator = domainSeparator({ chainId: vectors.domain.chainId, registry: hex(vectors.domain.registry) });
  });

  it("mint body: read, proved, and written byte for byte", () => {
    const route = MINT_ROUTES.find((one) => one.path === frozen.mint.path);
    const parsed = route && parseMint(route, Buffer.from(frozen.mint.body));
    expect(parsed).to.deep.equal({ ok: true, value: { cap: fetchCap, clientSig: fetchSig } });
    expect(recoverAddress(capRequestDigest(separator, fetchCap), hex(fetchSig))).to.equal(vectors.k10Address);
    expect(encodeMint(fetchCap, hex(fetchSig))).to.equal(frozen.mint.body);
  });

  it("cap: read and verified with its key set; a fresh one differs in its signature alone", () => {
    const { iss, jwks, k1Secret, compact } = frozen.cap;
    const aud = capAudience("fetch", "credentials");
    const parsed = parseCap(compact);
    const keys = parseJwks(Buffer.from(JSON.stringify(jwks)));
    const key = parsed.ok ? keys?.get(parsed.value.kid) : undefined;
    expect(parsed.ok && parsed.value.claims).to.deep.equal({ iss, aud, request: fetchCap, clientSig: fetchSig });
    expect(parsed.ok && key && capSignatureIsValid(parsed.value, key)).to.equal(true);

    const [jwk] = jwks.keys;
    const d = toBase64url(fromHex(hex(k1Secret)));
    const k1 = createPrivateKey({
      key: { kty: "EC", crv: "P-256", x: jwk?.x ?? "", y: jwk?.y ?? "", d },
      format: "jwk",
    });
    expect(publicJwk(k1)).to.deep.equal(jwk);
    const again = encodeCap({ iss, aud, request: fetchCap, clientSig: hex(fetchSig) }, publicJwk(k1).kid, k1);
    expect(again.slice(0, again.lastIndexOf("."))).to.equal(compact.slice(0, compact.lastIndexOf(".")));
  });

  it("proof header: read, proved, and written byte for byte", () => {
    const { method, target, body, digest, signature, ...rest } = frozen.proof;
    const proof = {
      deviceKeyHash: hex(vectors.deviceKeyHash),
      sealTo: hex(frozen.reply.sealTo),
      nonce: hex(rest.nonce),
      issuedAt: rest.issuedAt,
    };
    const bytes = requestProofDigest(separator, {
      ...proof,
      method,
      target,
      bodyHash: sha256Hex(Buffer.from(body)),
      credentialHash: credentialHash(frozen.cap.compact),
    });
    expect(toHex(bytes)).to.equal(digest);
    expect(signDigest(bytes, k10)).to.equal(signature);
    expect(encodeProofHeader({ ...proof, sig: hex(signature) })).to.equal(rest.header);
    expect(parseProofHeader(rest.header)).to.deep.equal({ ok: true, value: { ...proof, sig: signature } });
  });

  it("contentHash", () => {
    expect(contentHash(hex(frozen.contentHash.salt), secretText)).to.equal(frozen.contentHash.hash);
  });

  it("object: its header and wrapped key byte for byte, and it opens", () => {
    const bytes = Buffer.from(frozen.object.compact);
    const parsed = parseObject(bytes);
    expect(sha256Hex(bytes)).to.equal(frozen.object.digest);
    expect(parsed?.header).to.deep.equal(header);
    expect(encodeObjectHeader(header)).to.equal(parsed?.headerText);
    expect(toBase64url(wrapKey(wrapping, contentKey))).to.equal(parsed?.encryptedKey);
    expect(parsed && decryptObject(parsed, contentKey)?.toString()).to.equal(frozen.contentHash.plaintext);
    const stored = storeRequestOf(name, header.storedBy);
    expect(recoverAddress(capRequestDigest(separator, stored), header.storedBy.client_sig)).to.equal(
      vectors.k10Address,
    );
  });

  it("tombstone: read and written byte for byte", () => {
    const { compact, version, digest, teardownCap: cap } = frozen.tombstone;
    const tombstone = { name, version, removedBy: storedBy(teardownCap, hex(cap.signature)) };
    expect(encodeTombstone(tombstone).toString()).to.equal(compact);
    expect(parseTombstone(Buffer.from(compact))).to.deep.equal(tombstone);
    expect(sha256Hex(Buffer.from(compact))).to.equal(digest);
    expect(signDigest(capRequestDigest(separator, teardownCap), k10)).to.equal(cap.signature);
  });

  it("sealed reply: opens for the proof that asked, and for no other", async () => {
    const pair = await sealKeyPairFrom(fromHex(hex(frozen.reply.x25519Secret)));
    expect(pair.publicKey).to.equal(frozen.reply.sealTo);
    const sealed = Buffer.from(frozen.reply.sealed, "base64url");
    const info = Buffer.concat([Buffer.from(REPLY_INFO), fromHex(hex(frozen.proof.digest))]);
    const opened = await hpkeOpen(pair, info, sealed);
    expect(opened?.toString()).to.equal(frozen.reply.plaintext);
    expect(opened && parseFetchAnswer(opened)).to.deep.equal({
      payload_b64: toBase64url(secretText),
      content_salt: header.contentSalt,
      version: header.version,
      stored_by: header.storedBy,
      plaintext: secretText,
    });
    const other = Buffer.concat([Buffer.from(REPLY_INFO), fromHex(hex(vectors.requestProof.digest))]);
    expect(await hpkeOpen(pair, other, sealed)).to.equal(undefined);
  });

  it("Freeze: digest and signature", () => {
    const { freezeNonce, deadline, digest, signature } = frozen.freeze;
    const { operatorOmni } = name;
    const bytes = freezeDigest(separator, { operatorOmni, deviceKeyHash: device.deviceKeyHash, freezeNonce, deadline });
    expect(toHex(bytes)).to.equal(digest);
    expect(signDigest(bytes, k10)).to.equal(signature);
  });

  it("the table of titles is the services' own, no code more or less", () => {
    expect(PROBLEMS).to.deep.equal(frozen.titles);
  });
});

describe("wire: what protocol 3.13 froze, by other implementations", () => {
  const CAP = fields(
    "bytes32 operatorOmni,bytes32 actorOmni,bytes32 deviceKeyHash,string service,string op,string dataClass," +
      "bytes32 contentHash,uint64 k3Epoch,uint64 issuedAt,uint64 expiresAt,bytes32 nonce",
  );

  it("ethers: signatures of the three caps", () => {
    const signed: readonly [CapRequest, string][] = [
      [fetchCap, fetchSig],
      [storeCap, frozen.object.storeCap.signature],
      [teardownCap, frozen.tombstone.teardownCap.signature],
    ];
    for (const [cap, signature] of signed) {
      expect(verifyTypedData(domain, { CapRequest: CAP }, cap, signature).toLowerCase()).to.equal(vectors.k10Address);
    }
  });

  it("ethers: the proof, from its header text and the request alone", () => {
    const { device_key_hash, seal_to, nonce, issued_at, sig } = JSON.parse(
      Buffer.from(frozen.proof.header, "base64url").toString(),
    ) as Record<string, string>;
    const types = fields(
      "bytes32 deviceKeyHash,string method,string target,bytes32 bodyHash,bytes32 credentialHash,bytes32 sealTo," +
        "bytes32 nonce,uint64 issuedAt",
    );
    const message = {
      deviceKeyHash: device_key_hash,
      method: frozen.proof.method,
      target: frozen.proof.target,
      bodyHash: `0x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a`, // SHA-256 of {}
      credentialHash: keccak256(toUtf8Bytes(frozen.cap.compact)),
      sealTo: seal_to,
      nonce,
      issuedAt: issued_at,
    };
    expect(TypedDataEncoder.hash(domain, { RequestProof: types }, message)).to.equal(frozen.proof.digest);
    const signer = verifyTypedData(domain, { RequestProof: types }, message, sig ?? "");
    expect(signer.toLowerCase()).to.equal(vectors.k10Address);
  });

  it("ethers: Freeze", () => {
    const types = { Freeze: fields("bytes32 operatorOmni,bytes32 deviceKeyHash,uint64 freezeNonce,uint256 deadline") };
    const { freezeNonce, deadline, digest, signature } = frozen.freeze;
    const message = { ...device, freezeNonce, deadline };
    expect(TypedDataEncoder.hash(domain, types, message)).to.equal(digest);
    expect(verifyTypedData(domain, types, message, signature).toLowerCase()).to.equal(vectors.k10Address);
  });

  it("jose and node:crypto: the cap under its key set", async () => {
    const set = createLocalJWKSet(frozen.cap.jwks);
    const { payload, protectedHeader } = await compactVerify(frozen.cap.compact, set, { algorithms: ["ES256"] });
    expect(Object.keys(protectedHeader)).to.deep.equal(["alg", "typ", "kid"]);
    const claims = JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>;
    expect(claims).to.deep.include({ iss: frozen.cap.iss, aud: "agentkeys:worker:credentials", client_sig: fetchSig });
    const [header = "", body = "", signature = ""] = frozen.cap.compact.split(".");
    const jwk = frozen.cap.jwks.keys[0] as JWK;
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const input = Buffer.from(`${header}.${body}`);
    const bytes = Buffer.from(signature, "base64url");
    expect(verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, bytes)).to.equal(true);
  });

  it("node:crypto: contentHash is an HMAC", () => {
    const salt = Buffer.from(frozen.contentHash.salt.slice(2), "hex");
    const mac = createHmac("sha256", salt).update(frozen.contentHash.plaintext).digest("hex");
    expect(`0x${mac}`).to.equal(frozen.contentHash.hash);
  });

  it("jose: the object opens with the object key of 3.10", async () => {
    const key = createSecretKey(Buffer.from(vectors.objectKey.key.slice(2), "hex"));
    const { plaintext, protectedHeader } = await compactDecrypt(frozen.object.compact, key, {
      keyManagementAlgorithms: ["A256KW"],
      contentEncryptionAlgorithms: ["A256CBC-HS512"],
    });
    expect(Buffer.from(plaintext).toString()).to.equal(frozen.contentHash.plaintext);
    expect(protectedHeader).to.deep.include({ typ: "agentkeys-object", kid: "k3:1", version: 1 });
  });

  it("RFC 9180 by hand: the sealed reply", () => {
    const secret = Buffer.from(frozen.reply.x25519Secret.slice(2), "hex");
    const info = Buffer.concat([Buffer.from("agentkeys-reply-v2"), Buffer.from(frozen.proof.digest.slice(2), "hex")]);
    const sealed = Buffer.from(frozen.reply.sealed, "base64url");
    expect(openByHand(secret, info, sealed).toString()).to.equal(frozen.reply.plaintext);
    expect(() => openByHand(secret, info.subarray(1), sealed)).to.throw();
  });
});

describe("wire: docs/protocol.md quotes what is frozen", () => {
  const document = readFileSync(join(__dirname, "../../../docs/protocol.md"), "utf8");
  const { mint, cap, proof, contentHash, object, tombstone, reply, freeze } = frozen;
  const quoted: Readonly<Record<string, string>> = {
    "mint body": mint.body,
    "key set": JSON.stringify(cap.jwks),
    cap: cap.compact,
    "proof header": proof.header,
    "proof digest": proof.digest,
    contentHash: contentHash.hash,
    object: object.compact,
    tombstone: tombstone.compact,
    "X25519 secret": reply.x25519Secret,
    reply: reply.sealed,
    "Freeze digest": freeze.digest,
    "Freeze signature": freeze.signature,
  };
  for (const [what, text] of Object.entries(quoted)) it(what, () => expect(document.includes(text)).to.equal(true));

  it("every title", () => {
    const rows = new Set(document.split("\n").map((line) => line.replace(/ +/g, " ")));
    for (const [code, { status, title }] of Object.entries(frozen.titles)) {
      expect(rows.has(`| ${String(status)} | \`${code}\` | ${title} |`), code).to.equal(true);
    }
  });
});
