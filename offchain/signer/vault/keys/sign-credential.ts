import { signing } from "./token-secrets";
import { type VaultKeys, VaultKeysError } from "./vault-keys";

const TRIES = 8;

/**
 * MACs a credential by the secret that signs now. The order matters: its expiry is recorded before it is signed, so that
 * a rotation in between cannot end the secret before the credential; where a forced rotation took the secret away, the
 * next one signs.
 * @param exp the credential's own `exp`
 * @param compose the JWS signing input with this `kid` in its header
 */
export async function signCredential(
  keys: VaultKeys,
  exp: number,
  compose: (kid: string) => Uint8Array,
): Promise<{ readonly signingInput: Uint8Array; readonly mac: Buffer }> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const kid = signing(keys.tokenSecrets())?.kid;
    if (kid === undefined) continue;
    await keys.noteExpiry(kid, exp);
    const signingInput = compose(kid);
    const mac = await keys.macCredential(kid, signingInput);
    if (mac !== undefined) return { signingInput, mac };
  }
  throw new VaultKeysError("no token secret stays long enough to sign by");
}
