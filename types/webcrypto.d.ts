// @hpke/core's declarations name DOM globals that @types/node 20 keeps under node:crypto.
import type { webcrypto } from "node:crypto";

declare global {
  type Crypto = webcrypto.Crypto;
  type CryptoKey = webcrypto.CryptoKey;
  type CryptoKeyPair = webcrypto.CryptoKeyPair;
  type JsonWebKey = webcrypto.JsonWebKey;
  type KeyUsage = webcrypto.KeyUsage;
}
