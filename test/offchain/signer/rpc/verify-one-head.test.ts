import { expect } from "chai";

import type { Head } from "../../../../offchain/chain/head";
import { type K11Parts, verifyK11 } from "../../../../offchain/signer/vault/verify";
import { type Hex, toHex } from "../../../../offchain/wire/bytes";
import { type Ceremony, ceremonyChallenge, ceremonyDigest, ceremonyOf } from "../../../../offchain/wire/ceremony";
import { keccakReady } from "../../../../offchain/wire/keccak";
import { operatorOmni } from "../../../../offchain/wire/names";
import { ok } from "../../../../offchain/wire/result";
import { type TestAuthenticator, makeAssertion, testAuthenticator } from "../../../helpers/assertion";
import { codeOf } from "../../../helpers/kms";
import { caseSeparator } from "../../../helpers/verify-case";
import { nonce, testDevice } from "../../../helpers/words";

/** What one block says of the operator: its master, and whose passkey the account has. */
interface Block {
  readonly master: Hex;
  readonly passkey: TestAuthenticator;
}

describe("signer: /v1/verify/k11-assertion asks one block (protocol 3.5)", () => {
  const [account, buyer]: readonly [Hex, Hex] = [`0x${"a1".repeat(20)}`, `0x${"b2".repeat(20)}`];
  let omni: Hex;
  let mine: TestAuthenticator;
  let theirs: TestAuthenticator;

  before(async () => {
    await keccakReady();
    omni = operatorOmni(account);
    [mine, theirs] = [testAuthenticator(), testAuthenticator()];
  });

  const heads = (at: number): Head => ({ hash: toHex(Buffer.alloc(32, at)), number: at, timestamp: at });

  /** The answer over a chain that is one block further after each read of those counted here; the last block stays. */
  async function verify(by: TestAuthenticator, blocks: readonly Block[]): Promise<string> {
    let at = 0;
    const read = <T>(of: (block: Block) => T) => {
      const block = blocks[Math.min(at, blocks.length - 1)];
      if (block === undefined) throw new Error("no block");
      at += 1;
      return Promise.resolve(ok(of(block)));
    };
    const parts: K11Parts = {
      separator: caseSeparator(),
      kms: { settings: { rpId: "example.org", rpOrigins: ["https://example.org"] } },
      chain: {
        head: () => heads(Math.min(at, blocks.length - 1) + 1),
        masterOf: () => read(({ master }) => master),
        passkeysOf: () => read(({ passkey }) => [passkey.passkey]),
      },
    };
    const subject = { operation: "create", label: "agent-a", deviceKeyHash: testDevice().hash } as const;
    const place = { operatorOmni: omni, account, signerOrigin: "https://signer.example.org", expiresAt: 1_767_225_900 };
    const ceremony: Ceremony = ceremonyOf(subject, place);
    const seen = nonce();
    const assertion = makeAssertion(by, ceremonyChallenge(seen, ceremonyDigest(parts.separator, ceremony)));
    const wire = {
      operation: ceremony.operation,
      operator_omni: omni,
      account,
      key_id: ceremony.keyId,
      label: ceremony.label,
      device_key_hash: ceremony.deviceKeyHash,
      signer_origin: ceremony.signerOrigin,
      expires_at: ceremony.expiresAt,
    };
    const body = Buffer.from(JSON.stringify({ ceremony: wire, nonce: seen, assertion }));
    return codeOf(await verifyK11(parts, "URI:spiffe://agentkeys/broker", body));
  }

  it("an account that is sold and gets the buyer's passkey in one block: at no block both were so", async () => {
    const before = { master: account, passkey: mine };
    const after = { master: buyer, passkey: theirs };
    expect(await verify(theirs, [before, after])).to.equal("device_binding_mismatch");
    expect(await verify(mine, [before, after])).to.equal("device_binding_mismatch");
    expect(await verify(mine, [before])).to.equal("ok");
  });

  it("a passkey that is replaced meanwhile: the one of the later block counts", async () => {
    const [old, next] = [
      { master: account, passkey: mine },
      { master: account, passkey: theirs },
    ];
    expect(await verify(mine, [old, next])).to.equal("payload_invalid");
    expect(await verify(theirs, [old, next])).to.equal("ok");
  });

  it("a head that does not rest is chain_unavailable, one that rests in time is waited for", async () => {
    const block = { master: account, passkey: mine };
    const moving = (blocks: number): readonly Block[] => Array.from({ length: blocks }, () => block);
    expect(await verify(mine, moving(20))).to.equal("chain_unavailable");
    expect(await verify(mine, moving(4))).to.equal("ok");
  });
});
