import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { profileOfChain } from "../../offchain/chain/profiles";
import { deviceKey } from "../../offchain/client/device-key-file";
import {
  type Consent,
  consentByKey,
  consentByPasskey,
  consentText,
  guardiansIn,
  isGuardian,
  parseRequest,
} from "../../offchain/client/guardian-consent";
import {
  type GuardianRequest,
  describeRequest,
  guardianDigest,
  typedDataOf,
} from "../../offchain/client/guardian-messages";
import { type Hex, fromHex } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import { keyFromFile } from "./keys";
import { UsageError } from "./networks";
import { openPasskey } from "./passkeys";
import { type Values, type Voice, Refused, orRefuse, required, text, texts } from "./program";
import { textOf } from "./recovery-options";

/**
 * A guardian's consent to a request, without any chain: by a key file, by the passkey of --state, or with a signature
 * that the guardian's own wallet made.
 */
export async function consent(values: Values, voice: Voice): Promise<void> {
  const content = await textOf(required(values, "request"));
  const out = required(values, "out");
  await keccakReady();
  const request = orRefuse(parseRequest(content));
  for (const line of describeRequest(request)) voice.say(line);
  const { guardian, signature } = await signed(values, voice, request, guardiansIn(content));
  await writeFile(out, consentText(request, { guardian, signature }));
  voice.finish({ ok: true, file: out, guardian, digest: guardianDigest(request) }, [
    `Guardian ${guardian} consents: ${out}. Whoever has enough of these can send them.`,
  ]);
}

/** Shows the typed data of a request, for a guardian's own wallet to sign. */
export async function showTypedData(values: Values, voice: Voice): Promise<void> {
  const request = orRefuse(parseRequest(await textOf(required(values, "request"))));
  const { domain, types, value } = typedDataOf(request);
  const [primaryType] = Object.keys(types);
  voice.finish({ ok: true, domain, types, primaryType, message: value, digest: guardianDigest(request) }, [
    ...describeRequest(request),
    JSON.stringify({ domain, types, primaryType, message: value }, null, 2),
  ]);
}

async function signed(
  values: Values,
  voice: Voice,
  request: GuardianRequest,
  guardians: readonly Hex[],
): Promise<Consent> {
  const requireGuardian = (guardian: Hex | undefined): Hex => {
    if (guardian !== undefined && guardians.includes(guardian)) return guardian;
    throw new Refused("caller_not_allowed", "The request names other guardians: nothing was signed.");
  };
  const signature = text(values, "signature")?.toLowerCase();
  if (signature !== undefined) {
    const [guardian] = texts(values, "guardian").map((one) => one.toLowerCase());
    if (!isGuardian(guardian)) throw new UsageError("--signature goes with the --guardian that made it");
    if (!/^0x([0-9a-f]{2})+$/.test(signature)) throw new UsageError("--signature is hex digits after 0x");
    return { request, guardian: requireGuardian(guardian), signature: signature as Hex };
  }
  const secret = await keyFromFile(text(values, "key-file"), undefined);
  if (secret !== undefined) {
    const key = deviceKey(fromHex(secret));
    requireGuardian(key.address);
    return consentByKey(request, key);
  }
  const { chainId } = request;
  const stateDir = resolve(text(values, "state") ?? join(".agentkeys", "operator"));
  const place = { stateDir, profile: profileOfChain(chainId), deployment: { chainId } };
  const { authenticator, ...page } = await openPasskey({ values, voice, place, mayMake: false });
  try {
    const { x, y } = authenticator.credential;
    const own = guardians.find((one) => one.length === 2 + 40 + 128 && one.endsWith(`${x.slice(2)}${y.slice(2)}`));
    return orRefuse(await consentByPasskey(request, requireGuardian(own), authenticator));
  } finally {
    await page.close("Done. This page can be closed.");
  }
}
