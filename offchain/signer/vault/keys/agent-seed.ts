import { type Hex, fromHex } from "../../../wire/bytes";
import { hkdfExtract, hkdfFirstBlock } from "../k3";

const SALT = Buffer.from("agentkeys.agent-seed.v1");

/** HKDF-SHA256 (RFC 5869) of the agent seed for one operator and master account, 32 bytes. @see services note 4.3 */
export function operatorSeed(agentSeed: Uint8Array, operatorOmni: Hex, account: Hex): Buffer {
  const prk = hkdfExtract(SALT, agentSeed);
  const seed = hkdfFirstBlock(prk, [fromHex(operatorOmni), fromHex(account)]);
  prk.fill(0);
  return seed;
}
