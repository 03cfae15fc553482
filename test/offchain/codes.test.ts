import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";
import { Agent } from "undici";

import { PROBLEMS, type ProblemCode } from "../../offchain/wire/problem";
import { DATA_KEYS_PATH } from "../../offchain/wire/data-keys";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { freePorts } from "../../scripts/lib/process";
import { post } from "../helpers/http";
import { exchange } from "../helpers/raw-http";
import { STATUS, expectProblem, producedCodes } from "../helpers/route-tables";
import { sharedWorld } from "../helpers/shared-world";
import { entry, localSidecar } from "../helpers/sidecar";
import { makeProof } from "../helpers/words";
// the tables that produce the codes: they run before this file, in whatever order files are loaded
import "./broker/mint-table.test";
import "./broker/unavailable.test";
import "./signer/kms/http.test";
import "./worker/redeem-table.test";
import "./worker/unavailable.test";
import "./worker/writes.test";

const ROOT = resolve(__dirname, "../..");

describe("every code of protocol 3.9 is an answer of a running service", function () {
  this.timeout(120_000);

  it("caller_not_allowed: the worker of one class with a cap for another, at the vault", async () => {
    const world = await sharedWorld();
    const { cap } = await world.mint("fetch");
    const target = world.target("fetch");
    const proof = makeProof(world.separator, world.agentDevice, { target, credential: cap, body: "{}" });
    const header = "e30";
    const words = { cap, proof: proof.header, method: "POST", target, body_hash: sha256Hex(Buffer.from("{}")), header };
    const tls = world.stack.workerTls("memory");
    const door = new Agent({ connect: { ...tls, checkServerIdentity: () => undefined } });
    try {
      const answer = await post(world.stack.urls.signer + DATA_KEYS_PATH, JSON.stringify(words), {}, door);
      expectProblem({ ...answer, isClosed: false }, "caller_not_allowed");
    } finally {
      await door.close();
    }
    expect((await world.fetch()).secret, "the honest fetch").to.be.a("string");
  });

  it("upstream_unavailable: a sidecar whose upstream is away", async () => {
    const [port = 0] = await freePorts(1);
    const sidecar = await localSidecar([entry(`http://127.0.0.1:${String(port)}`)]);
    try {
      const origin = `http://127.0.0.1:${String(sidecar.port)}`;
      const answer = await exchange(origin, { method: "GET", target: "/openrouter/v1", headers: [] });
      expectProblem(answer, "upstream_unavailable");
    } finally {
      await sidecar.stop();
    }
  });

  it("every code was produced", () => {
    const codes = Object.keys(PROBLEMS) as ProblemCode[];
    expect(codes.sort(), "the tables' own list of codes").to.deep.equal(Object.keys(STATUS).sort());
    const missing = codes.filter((code) => !producedCodes.has(code));
    expect(missing, "codes that no test produced").to.deep.equal([]);
  });

  it("docs/errors.md lists them all with their statuses", () => {
    const text = readFileSync(join(ROOT, "docs", "errors.md"), "utf8");
    const rows = [...text.matchAll(/^\| ([0-9]{3}) +\| `([a-z0-9_]+)`/gm)].map(([, status, code]) => [
      code,
      Number(status),
    ]);
    expect(Object.fromEntries(rows)).to.deep.equal(STATUS);
  });
});
