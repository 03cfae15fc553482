import { expect } from "chai";

import type { Route } from "../../../offchain/http/routes";
import { ok, refuse } from "../../../offchain/wire/result";
import { type TestFace, testFace } from "../../helpers/face";
import { type RawRequest, exchange } from "../../helpers/raw-http";
import { expectProblem } from "../../helpers/route-tables";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const get = (target: string, change: Partial<RawRequest> = {}): RawRequest => ({
  method: "GET",
  target,
  headers: [],
  ...change,
});
const post = (target: string, headers: RawRequest["headers"] = [], body = "{}"): RawRequest => ({
  method: "POST",
  target,
  headers: [["Content-Type", "application/json"], ...headers],
  body,
});

describe("http: routes", () => {
  let face: TestFace;
  let isReady = true;

  const routes: readonly Route[] = [
    { method: "POST", path: "/v1/do", limit: 100, handle: () => ok({ done: true }) },
    { method: "GET", path: "/v1/public", limit: 0, cacheControl: "max-age=60", handle: () => ok({ open: true }) },
    { method: "POST", path: "/v1/id", limit: 100, handle: ({ requestId }) => ok({ requestId }) },
    { method: "POST", path: "/v1/proved", limit: 100, single: ["authorization", "agentkeys-proof"], handle: (one) => ok({ credential: one.header("authorization"), proof: one.header("agentkeys-proof") }) },
    { method: "POST", path: "/v1/replayed", limit: 100, handle: () => refuse("proof_invalid", "again", "replayed") },
    { method: "POST", path: "/v1/used", limit: 100, handle: () => refuse("cap_already_used", "again") },
    { method: "POST", path: "/v1/throws", limit: 100, handle: () => { throw new Error("the passphrase is hunter2"); } },
    { method: "POST", path: "/v1/rejects", limit: 100, handle: () => Promise.reject(new TypeError("undefined is not hunter2")) },
  ]; // prettier-ignore

  before(async () => {
    const chain = () => Promise.resolve(isReady ? ok(undefined) : refuse("chain_unavailable", "behind"));
    face = await testFace(routes, { probes: { chain, other: () => Promise.resolve(ok(1)) } });
  });
  after(() => face.close());

  it("a listed method with a listed path answers JSON that nobody stores", async () => {
    const answer = await exchange(face.url, post("/v1/do"));
    expect([answer.status, answer.json]).to.deep.equal([200, { done: true }]);
    expect(answer.headers).to.include({ "content-type": "application/json", "cache-control": "no-store" });
    expect(answer.headers).not.to.have.any.keys("x-powered-by", "etag");
  });

  it("a route may say how long its answer is good", async () => {
    expect((await exchange(face.url, get("/v1/public"))).headers["cache-control"]).to.equal("max-age=60");
  });

  const NOT_LISTED: Readonly<Record<string, RawRequest>> = {
    "another path": post("/v1/other"),
    "a trailing slash": post("/v1/do/"),
    "upper case": post("/V1/do"),
    "a query": post("/v1/do?a=1"),
    "an empty query": post("/v1/do?"),
    "a fragment": post("/v1/do#a"),
    "an escape": post("/v1/d%6f"),
    "an escape that is none": post("/v1/%zz"),
    "a doubled slash": post("//v1/do"),
    "a doubled slash inside": post("/v1//do"),
    "a dot segment": post("/v1/./do"),
    "dot segments": post("/v1/../v1/do"),
    "absolute-form": post("http://test/v1/do"),
    "absolute-form without a path": get("http://test"),
    "asterisk-form": { ...post("*"), method: "OPTIONS" },
    "another method": { ...post("/v1/do"), method: "PUT" },
    "GET of a POST route": get("/v1/do"),
    "POST of a GET route": post("/healthz"),
    "HEAD of a GET route": { ...get("/healthz"), method: "HEAD" },
    OPTIONS: { ...post("/v1/do"), method: "OPTIONS" },
    TRACE: { ...get("/v1/do"), method: "TRACE" },
    "an inherited name": get("/constructor"),
    "a query on /metrics": get("/metrics?a=1"),
  };
  for (const [name, request] of Object.entries(NOT_LISTED)) {
    it(`${name} is route_not_found`, async () => {
      const answer = await exchange(face.url, request);
      if (request.method === "HEAD") expect(answer.status).to.equal(404);
      else expectProblem(answer, "route_not_found");
    });
  }

  const proved: RawRequest["headers"] = [
    ["Authorization", "AgentKeys a.b.c"],
    ["AgentKeys-Proof", "proof"],
  ];
  it("hands over the value of each header that must be single, the scheme taken off", async () => {
    const answer = await exchange(face.url, post("/v1/proved", proved));
    expect(answer.json).to.deep.equal({ credential: "a.b.c", proof: "proof" });
  });

  for (const [name, value] of Object.entries({
    "another scheme": "Bearer a.b.c",
    "the scheme in lower case": "agentkeys a.b.c",
    "no scheme": "a.b.c",
    "no value": "AgentKeys",
    "two spaces": "AgentKeys  a.b.c",
    "two values": "AgentKeys a.b.c d",
    "a tab": "AgentKeys\ta.b.c",
  })) {
    it(`Authorization with ${name} is credential_invalid`, async () => {
      const headers = [["Authorization", value] as const, ...proved.slice(1)];
      expectProblem(await exchange(face.url, post("/v1/proved", headers)), "credential_invalid");
    });
  }
  it("no Authorization, or two, is credential_invalid; no proof missing, two malformed", async () => {
    const [authorization = ["", ""], proof = ["", ""]] = proved;
    const cases = [
      [[proof], "credential_invalid", undefined],
      [[authorization, authorization, proof], "credential_invalid", undefined],
      [[authorization], "proof_invalid", "missing"],
      [[authorization, proof, proof], "proof_invalid", "malformed"],
    ] as const;
    for (const [headers, code, reason] of cases) {
      expectProblem(await exchange(face.url, post("/v1/proved", headers)), code, reason);
    }
  });

  it("every answer has a request id of the service's own, the same for handler, answer and log", async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 20; i += 1) {
      const answer = await exchange(face.url, post("/v1/id", [["x-request-id", "chosen-by-the-caller"]]));
      const id = String(answer.headers["x-request-id"]);
      expect(id).to.match(UUID);
      expect(answer.json).to.deep.equal({ requestId: id });
      expect(face.lines.some((line) => line["requestId"] === id && line["route"] === "/v1/id")).to.equal(true);
      ids.add(id);
    }
    expect(ids.size).to.equal(20);
    const refused = await exchange(face.url, get("/nowhere"));
    expect(refused.json?.["instance"]).to.equal(refused.headers["x-request-id"]);
  });

  for (const path of ["/v1/throws", "/v1/rejects"]) {
    it(`${path.slice(4)}: the cause goes to the log under the request id, and nowhere else`, async () => {
      const answer = await exchange(face.url, post(path));
      expectProblem(answer, "internal_error", undefined, ["hunter2", "Error", "routes.test.ts"]);
      const line = face.lines.find((one) => one["requestId"] === answer.headers["x-request-id"] && "err" in one);
      expect(JSON.stringify(line)).to.include("hunter2");
    });
  }

  it("a refusal does not echo what was sent", async () => {
    const secret = "sk-live-0123456789abcdef";
    const request = { ...post(`/${secret}`, [["Authorization", secret]], JSON.stringify({ secret })) };
    expectProblem(await exchange(face.url, request), "route_not_found", undefined, [secret]);
    expect(JSON.stringify(face.lines)).not.to.include(secret);
  });

  it("metrics name requests by route, status and code, their latency, and replays that were refused", async () => {
    const one = await testFace(routes);
    try {
      for (const path of ["/v1/do", "/v1/do", "/v1/replayed", "/v1/used", "/v1/throws", "/any", "/other"]) {
        await exchange(one.url, post(path));
      }
      const answer = await exchange(one.url, get("/metrics"));
      expect(answer.headers["content-type"]).to.match(/^text\/plain; version=0\.0\.4/);
      const text = answer.body.toString();
      const value = (name: string, labels: Record<string, string>): number | undefined => {
        const line = text
          .split("\n")
          .find(
            (row) =>
              row.startsWith(`${name}{`) && Object.entries(labels).every(([key, is]) => row.includes(`${key}="${is}"`)),
          );
        return line === undefined ? undefined : Number(line.split(" ").at(-1));
      };
      const requests = "agentkeys_requests_total";
      expect(value(requests, { route: "/v1/do", status: "200", code: "ok" })).to.equal(2);
      expect(value(requests, { route: "/v1/replayed", status: "401", code: "proof_invalid" })).to.equal(1);
      expect(value(requests, { route: "/v1/used", status: "409", code: "cap_already_used" })).to.equal(1);
      expect(value(requests, { route: "/v1/throws", status: "500", code: "internal_error" })).to.equal(1);
      // paths that nobody listed share one name: a caller cannot make series
      expect(value(requests, { route: "unlisted", status: "404", code: "route_not_found" })).to.equal(2);
      expect(value("agentkeys_request_seconds_count", { route: "/v1/do" })).to.equal(2);
      expect(value("agentkeys_request_seconds_bucket", { route: "/v1/do", le: "+Inf" })).to.equal(2);
      expect(value("agentkeys_replays_refused_total", { kind: "proof" })).to.equal(1);
      expect(value("agentkeys_replays_refused_total", { kind: "cap" })).to.equal(1);
      expect(text).to.match(/^agentkeys_chain_reads_total|# TYPE agentkeys_chain_reads_total counter$/m);
      expect(text).to.match(/^process_cpu_seconds_total\{.*service="test"/m);
    } finally {
      await one.close();
    }
  });

  it("is healthy while it runs, and ready only while every probe says so", async () => {
    expect((await exchange(face.url, get("/healthz"))).status).to.equal(200);
    let asked = 0;
    let holds = true;
    const one = await testFace([], {
      probes: {
        store() {
          asked += 1;
          return Promise.resolve(holds ? ok(undefined) : refuse("storage_unavailable", "down"));
        },
      },
    });
    try {
      expect((await exchange(one.url, get("/readyz"))).status).to.equal(200);
      // asked at most once a second, however often it is called
      await Promise.all(Array.from({ length: 20 }, () => exchange(one.url, get("/readyz"))));
      expect(asked).to.be.below(20);
      holds = false;
      let answer = await exchange(one.url, get("/readyz"));
      while (answer.status === 200) answer = await exchange(one.url, get("/readyz"));
      expectProblem(answer, "storage_unavailable");
      expect(answer.headers["retry-after"]).to.match(/^[0-9]+$/);
      expect((await exchange(one.url, get("/healthz"))).status).to.equal(200);
      holds = true;
      while ((await exchange(one.url, get("/readyz"))).status !== 200) continue;
    } finally {
      await one.close();
    }
    isReady = false;
    let answer = await exchange(face.url, get("/readyz"));
    while (answer.status === 200) answer = await exchange(face.url, get("/readyz"));
    expectProblem(answer, "chain_unavailable");
  });
});
