import { sign } from "node:crypto";

import type { AccessFacts } from "../../offchain/chain/access-facts";
import type { CapCache } from "../../offchain/verify/cap-cache";
import { type Redemption, type RedemptionCase, verifyRedemption } from "../../offchain/verify/redeem";
import { ZERO32, toBase64url } from "../../offchain/wire/bytes";
import { CAP_TYP, capAudience } from "../../offchain/wire/cap";
import type { CapRequest } from "../../offchain/wire/cap-request";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { type DataClass, type Op, actorOmni, operatorOmni } from "../../offchain/wire/names";
import { redeemPath } from "../../offchain/wire/redeem";
import type { Result } from "../../offchain/wire/result";
import { type CountedChain, NOW, type TestBroker, caseSeparator, chainOf, goodFacts, testBroker } from "./verify-case";
import { type ProofWish, type TestDevice, capRequest, makeProof, nonce, signCap, testDevice } from "./words";

/** Public base URL of the workers in these cases. */
export const WORKER = "https://worker.example.org";

/** A redemption before it is written down: what a row changes of an honest one, in the order it is put together. */
export interface RedeemDraft {
  /** The cap as its device signs it. */
  request?: Partial<CapRequest>;
  /** Signs the cap instead of the device that it names. */
  signer?: TestDevice;
  /** JWS header members, replacing the honest ones; undefined leaves one out. */
  header?: Record<string, unknown>;
  /** JWS claims as the broker writes them, behind the device's back. */
  claims?: Record<string, unknown>;
  /** Countersigns instead of the honest broker. */
  broker?: TestBroker;
  /** Changes the finished JWS. */
  text?: (cap: string) => string;
  /** What the proof is made for. */
  proof?: Partial<ProofWish>;
  /** Makes the proof instead of the cap's device. */
  prover?: TestDevice;
  /** Sent instead of a proof. */
  proofText?: string;
  facts?: Partial<AccessFacts>;
  /** What the receiver knows by itself. */
  receiver?: Partial<RedemptionCase>;
}

/** Everything that an honest redemption needs, and how to ask with something changed. */
export class RedeemBench {
  readonly device: TestDevice = testDevice();
  readonly broker: TestBroker = testBroker();
  readonly separator = caseSeparator();
  readonly good: CapRequest;

  constructor(op: Op = "fetch", dataClass: DataClass = "credentials") {
    const operator = operatorOmni("0x1111111111111111111111111111111111111111");
    this.good = capRequest(this.device, {
      operatorOmni: operator,
      actorOmni: actorOmni(operator, "agent-a"),
      service: "openrouter",
      op,
      dataClass,
      contentHash: op === "store" ? nonce() : ZERO32,
      issuedAt: NOW - 10,
      expiresAt: NOW + 290,
    });
  }

  /** The compact JWS, assembled here by RFC 7515 so that every part of it can be wrong. */
  capText(draft: RedeemDraft = {}): string {
    const request = { ...this.good, ...draft.request };
    const broker = draft.broker ?? this.broker;
    const header = { alg: "ES256", typ: CAP_TYP, kid: this.broker.kid, ...draft.header };
    const claims = {
      iss: this.broker.origin,
      aud: capAudience(request.op, request.dataClass),
      sub: request.actorOmni,
      jti: request.nonce,
      iat: request.issuedAt,
      exp: request.expiresAt,
      operator_omni: request.operatorOmni,
      device_key_hash: request.deviceKeyHash,
      service: request.service,
      op: request.op,
      data_class: request.dataClass,
      content_hash: request.contentHash,
      k3_epoch: request.k3Epoch,
      client_sig: signCap(this.separator, draft.signer ?? this.device, request),
      ...draft.claims,
    };
    const input = `${toBase64url(JSON.stringify(header))}.${toBase64url(JSON.stringify(claims))}`;
    const signature = sign("sha256", Buffer.from(input), { key: broker.key, dsaEncoding: "ieee-p1363" });
    const text = `${input}.${toBase64url(signature)}`;
    return draft.text?.(text) ?? text;
  }

  /** The case as the receiver judges it. */
  caseOf(draft: RedeemDraft = {}, chain: CountedChain = chainOf(goodFacts(draft.facts))): RedemptionCase {
    const { op, dataClass } = this.good;
    const capText = draft.receiver?.capText ?? this.capText(draft);
    const target = WORKER + (op === "classify" ? "/v1/classify/tag" : redeemPath(op, dataClass));
    const body = draft.proof?.body ?? "{}";
    const wish = { target, credential: capText, issuedAt: NOW, ...draft.proof, body };
    return {
      capText,
      proofText: draft.proofText ?? makeProof(this.separator, draft.prover ?? this.device, wish).header,
      method: "POST",
      target,
      bodyHash: sha256Hex(Buffer.from("{}")),
      route: { op, dataClass: op === "classify" ? undefined : dataClass },
      audience: capAudience(op, dataClass),
      issuer: this.broker.origin,
      brokerKey: (kid) => (kid === this.broker.kid ? this.broker.key : undefined),
      separator: this.separator,
      now: NOW,
      chain,
      ...draft.receiver,
    };
  }

  ask(draft: RedeemDraft = {}, chain?: CountedChain): Promise<Result<Redemption>> {
    return verifyRedemption(this.caseOf(draft, chain));
  }

  /** `ok`, the code, or the code and its reason. */
  async codeOf(draft: RedeemDraft = {}): Promise<string> {
    return codeIn(await this.ask(draft));
  }

  /** With this cache. */
  async cachedCodeOf(cache: CapCache, draft: RedeemDraft = {}): Promise<string> {
    return this.codeOf({ ...draft, receiver: { cache, ...draft.receiver } });
  }
}

/** `ok`, the code, or the code and its reason. */
export function codeIn(result: Result<unknown>): string {
  if (result.ok) return "ok";
  const { code, reason } = result.failure;
  return reason === undefined ? code : `${code} ${reason}`;
}
