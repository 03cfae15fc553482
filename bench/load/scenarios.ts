import { createPrivateKey, randomUUID } from "node:crypto";

import { type Hex, fromHex } from "../../offchain/wire/bytes";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { DATA_KEYS_PATH } from "../../offchain/wire/data-keys";
import { publicJwk } from "../../offchain/wire/jwks";
import { KMS_PATHS, PAYLOAD_ALGORITHM } from "../../offchain/wire/kms";
import { mintPath } from "../../offchain/wire/mint";
import { redeemPath } from "../../offchain/wire/redeem";
import { redeemHeaders } from "../../test/helpers/http";
import { capRequest, countersign, makeProof, mintBody, nonce, signCap, testDevice } from "../../test/helpers/words";
import { dpopKey, dpopProof, es256 } from "./dpop";
import { type LoadTls, httpPost } from "./fire";

/** What a load generator is told; secrets are the bench's own. */
export interface LoadPlan {
  readonly scenario: keyof typeof SCENARIOS;
  /** Where it connects to. */
  readonly origin: string;
  readonly count: number;
  readonly connections: number;
  readonly expected: number;
  /** Facts for the device's words; hex. */
  readonly device?: {
    readonly secret: Hex;
    readonly separator: Hex;
    readonly operatorOmni: Hex;
    readonly actorOmni: Hex;
    readonly service: string;
  };
  /** PKCS#8 PEM of the key that countersigned: K1, or the authorization server's. */
  readonly issuerKey?: string;
  readonly issuer?: string;
  readonly tls?: LoadTls;
  /** `data-keys`: whose route the device's request was made for, and the object as it lies in the store. */
  /** `sign-agent`: a key, its credential, and its operator's account. */
  readonly agent?: { readonly keyId: string; readonly credential: string; readonly account: Hex };
  readonly worker?: { readonly origin: string; readonly header: string; readonly encryptedKey: string };
}

const JSON_TYPE = { "content-type": "application/json" };

/** Every prepared request is new: its own nonce or `jti`, its own signatures. */
export const SCENARIOS = {
  mint(plan: LoadPlan): Buffer[] {
    const { device, separator, who } = deviceOf(plan);
    const url = plan.origin + mintPath("fetch", "credentials");
    return times(plan, () =>
      httpPost(url, JSON_TYPE, mintBody(separator, device, capRequest(device, { ...who, op: "fetch" }))),
    );
  },
  /** One cap, redeemed again and again, each time with a proof of its own. */
  verify(plan: LoadPlan): Buffer[] {
    const cap = newCap(plan);
    return times(plan, () => redemption(plan, cap));
  },
  /** A new cap each time. */
  "verify.cold": (plan: LoadPlan): Buffer[] => times(plan, () => redemption(plan, newCap(plan))),
  /** What a worker asks of the signer for a fetch; one cap, each time with a proof of its own. */
  "data-keys"(plan: LoadPlan): Buffer[] {
    const { device, separator } = deviceOf(plan);
    const { origin = "", header, encryptedKey } = plan.worker ?? {};
    const cap = newCap(plan);
    const target = origin + redeemPath("fetch", "credentials");
    return times(plan, () => {
      const proof = makeProof(separator, device, { target, body: "{}", credential: cap });
      const words = { cap, proof: proof.header, method: "POST", target, body_hash: sha256Hex(Buffer.from("{}")) };
      const body = JSON.stringify({ ...words, header, encrypted_key: encryptedKey });
      return httpPost(plan.origin + DATA_KEYS_PATH, JSON_TYPE, body);
    });
  },
  /** A payload of its own each time, wrapped and signed by the agent's key. */
  "sign-agent"(plan: LoadPlan): Buffer[] {
    const { device, separator } = deviceOf(plan);
    const { keyId = "", credential = "", account } = plan.agent ?? {};
    const target = plan.origin + KMS_PATHS.signAgent;
    return times(plan, () => {
      const body = JSON.stringify({ keyId, payload: nonce(), algorithm: PAYLOAD_ALGORITHM, accountAddress: account });
      const proof = makeProof(separator, device, { target, body, credential });
      return httpPost(target, { ...JSON_TYPE, ...redeemHeaders(credential, proof.header) }, body);
    });
  },
  "peer.mint"(plan: LoadPlan): Buffer[] {
    const holder = dpopKey();
    const url = `${plan.origin}/token`;
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Basic ${Buffer.from("agent:agent-secret").toString("base64")}`,
    };
    return times(plan, () =>
      httpPost(url, { ...headers, dpop: dpopProof(holder, url) }, "grant_type=client_credentials"),
    );
  },
  "peer.verify"(plan: LoadPlan): Buffer[] {
    const holder = dpopKey();
    const token = accessToken(plan, holder.jkt);
    return times(plan, () => dpopRequest(plan, holder, token));
  },
  "peer.verify.cold"(plan: LoadPlan): Buffer[] {
    const holder = dpopKey();
    return times(plan, () => dpopRequest(plan, holder, accessToken(plan, holder.jkt)));
  },
} as const;

function times(plan: LoadPlan, make: () => Buffer): Buffer[] {
  return Array.from({ length: plan.count }, make);
}

function deviceOf(plan: LoadPlan) {
  if (plan.device === undefined) throw new Error("the plan names no device");
  const { secret, separator, ...who } = plan.device;
  return { device: testDevice(fromHex(secret)), separator: fromHex(separator), who };
}

function newCap(plan: LoadPlan): string {
  const { device, separator, who } = deviceOf(plan);
  const key = createPrivateKey(plan.issuerKey ?? "");
  const request = capRequest(device, { ...who, op: "fetch" });
  const broker = { key, kid: publicJwk(key).kid, origin: plan.issuer ?? "" };
  return countersign(broker, request, signCap(separator, device, request));
}

function redemption(plan: LoadPlan, cap: string): Buffer {
  const { device, separator } = deviceOf(plan);
  const target = plan.origin + redeemPath("fetch", "credentials");
  const proof = makeProof(separator, device, { target, body: "{}", credential: cap });
  return httpPost(target, { ...JSON_TYPE, authorization: `AgentKeys ${cap}`, "agentkeys-proof": proof.header }, "{}");
}

/** A sender-constrained access token as RFC 9068 and RFC 9449 §6.1 have it. */
function accessToken(plan: LoadPlan, jkt: string): string {
  const key = createPrivateKey(plan.issuerKey ?? "");
  const iat = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: plan.issuer,
    aud: plan.origin,
    sub: "agent",
    client_id: "agent",
    scope: "fetch",
    jti: randomUUID(),
    iat,
    exp: iat + 300,
    cnf: { jkt },
  };
  return es256({ typ: "at+jwt", alg: "ES256", kid: publicJwk(key).kid }, claims, key);
}

function dpopRequest(plan: LoadPlan, holder: ReturnType<typeof dpopKey>, token: string): Buffer {
  const url = `${plan.origin}/fetch`;
  const headers = { ...JSON_TYPE, authorization: `DPoP ${token}`, dpop: dpopProof(holder, url, token) };
  return httpPost(url, headers, "{}");
}
