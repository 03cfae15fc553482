import { expect } from "chai";

import { KMS_PATHS } from "../../../../offchain/wire/kms";
import type { Party, World } from "../../../drills/world";
import { type RawAnswer, type RawRequest, exchange } from "../../../helpers/raw-http";
import { expectProblem } from "../../../helpers/route-tables";
import { sharedWorld } from "../../../helpers/shared-world";
import { makeProof } from "../../../helpers/words";

/** 256 KiB. @see protocol 3.1 */
const LIMIT = 262_144;
const NO_KEY = "00000000-0000-8000-8000-000000000000:0";

describe("signer's public listener: routes for agents", function () {
  this.timeout(120_000);
  let world: World;
  let party: Party;
  let signer: string;

  before(async () => {
    world = await sharedWorld();
    signer = world.stack.urls.signerPublic;
  });
  beforeEach(async () => {
    party = await world.newParty();
  });

  const begin = (members: object = {}): string =>
    JSON.stringify({
      operation: "create",
      humanKeyId: party.wallet.address.toLowerCase(),
      label: "agent-a",
      ...members,
    });

  function send(
    body: string,
    path: string = KMS_PATHS.beginCeremony,
    change: Partial<RawRequest> = {},
  ): Promise<RawAnswer> {
    const proof = makeProof(world.separator, party.agentDevice, { target: signer + path, body }).header;
    const headers = [
      ["Content-Type", "application/json"],
      ["AgentKeys-Proof", proof],
    ] as const;
    return exchange(signer, { method: "POST", target: path, headers, body, ...change });
  }

  it("begins a ceremony, and answers nothing that a cache may keep", async () => {
    const { status, headers, json } = await send(begin());
    expect(status).to.equal(200);
    expect(headers["cache-control"]).to.equal("no-store");
    expect(Object.keys(json ?? {}).sort()).to.deep.equal(["ceremonyId", "expiresAt", "nonce", "rpId"]);
  });

  it("says that there is no such key: 404", async () => {
    for (const operation of ["refresh", "revoke"]) {
      const body = begin({ operation, keyId: NO_KEY, label: undefined });
      expectProblem(await send(body), "agent_key_not_found", undefined, [NO_KEY]);
    }
    expect((await send(begin())).status).to.equal(200);
  });

  it("says that there are too many open ceremonies, and when to try again: 429", async () => {
    for (let i = 0; i < 8; i += 1) expect((await send(begin())).status).to.equal(200);
    expectProblem(await send(begin()), "rate_limited");
    party = await world.newParty();
    expect((await send(begin())).status, "another operator's device").to.equal(200);
  });

  it("asks for a bearer where one is needed, and for one proof: 401", async () => {
    const body = JSON.stringify({ keyId: NO_KEY, payload: `0x${"00".repeat(32)}` });
    expectProblem(await send(body, KMS_PATHS.signAgent), "payload_invalid");
    const sign = JSON.stringify({
      keyId: NO_KEY,
      payload: `0x${"00".repeat(32)}`,
      algorithm: "eip191-32",
      accountAddress: party.wallet.address.toLowerCase(),
    });
    expectProblem(await send(sign, KMS_PATHS.signAgent), "credential_invalid");
    const headers = [["Content-Type", "application/json"]] as const;
    expectProblem(await send(begin(), undefined, { headers }), "proof_invalid", "missing");
    const two = [...headers, ["AgentKeys-Proof", "e30"], ["AgentKeys-Proof", "e30"]] as const;
    expectProblem(await send(begin(), undefined, { headers: two }), "proof_invalid", "malformed");
    expect((await send(begin())).status).to.equal(200);
  });

  it("takes 262,144 bytes and not one more, which is refused while they come", async () => {
    const padded = (size: number): string => {
      const body = begin({ padding: "" });
      return body.replace('"padding":""', `"padding":"${"x".repeat(size - body.length)}"`);
    };
    expect(padded(LIMIT)).to.have.length(LIMIT);
    expect((await send(padded(LIMIT))).status).to.equal(200);
    expectProblem(await send(padded(LIMIT + 1)), "request_too_large");
    expectProblem(await send(padded(LIMIT + 1), undefined, { framing: "chunked" }), "request_too_large");
    expectProblem(await send("", undefined, { endless: Buffer.alloc(65_536, 0x20) }), "request_too_large");
  });

  it("lists POST, and these paths byte for byte", async () => {
    for (const [method, target] of [
      ["GET", KMS_PATHS.signAgent],
      ["POST", `${KMS_PATHS.beginCeremony}/`],
      ["POST", `${KMS_PATHS.beginCeremony}?a=1`],
      ["POST", "/kms/derive-key"],
      ["POST", "/v1/data-keys"],
      ["POST", "/v1/verify/k10-sig"],
    ] as const) {
      expectProblem(await send(begin(), undefined, { method, target }), "route_not_found");
    }
  });
});
