import { expect } from "chai";

import { tokenAdmission } from "../../../offchain/sidecar/callers";
import { type LocalSidecar, call, entry, localSidecar } from "../../helpers/sidecar";
import { testServer } from "../../helpers/upstream";

const TOKEN = "a-token-of-32-random-characters!";
const OTHER = "b-token-of-32-random-characters!";

describe("sidecar: callers over TCP", () => {
  let upstream: Awaited<ReturnType<typeof testServer>>;
  let sidecar: LocalSidecar;
  let host: string;

  before(async () => {
    upstream = await testServer();
    sidecar = await localSidecar([entry(upstream.url, { service: "s" })], {
      admits: (own) => tokenAdmission(Buffer.from(TOKEN), own),
    });
    host = `127.0.0.1:${String(sidecar.port)}`;
  });
  afterEach(() => {
    upstream.received.length = 0;
  });
  after(async () => {
    await sidecar.stop();
    await upstream.stop();
  });

  const ALLOWED: Readonly<Record<string, readonly string[]>> = {
    "AgentKeys-Token": ["AgentKeys-Token", TOKEN],
    "Authorization: Bearer": ["Authorization", `Bearer ${TOKEN}`],
    "Authorization without a scheme": ["authorization", TOKEN],
    "X-API-Key": ["x-api-key", TOKEN],
    "a token, and a placeholder in another place": ["AgentKeys-Token", TOKEN, "Authorization", "Bearer placeholder"],
  };
  const REFUSED: Readonly<Record<string, readonly string[]>> = {
    "no token": [],
    "a wrong token": ["AgentKeys-Token", OTHER],
    "an empty token": ["AgentKeys-Token", ""],
    "a token cut short": ["AgentKeys-Token", TOKEN.slice(0, -1)],
    "a longer token": ["AgentKeys-Token", `${TOKEN}x`],
    "the token twice": ["AgentKeys-Token", TOKEN, "AgentKeys-Token", TOKEN],
    "the token and a wrong one": ["AgentKeys-Token", TOKEN, "agentkeys-token", OTHER],
    "two Authorizations": ["Authorization", `Bearer ${TOKEN}`, "Authorization", `Bearer ${OTHER}`],
    "the token under another scheme": ["Authorization", `Basic ${TOKEN}`],
    "the token in a cookie": ["Cookie", TOKEN],
    Origin: ["AgentKeys-Token", TOKEN, "Origin", "http://evil.example"],
    "Origin null": ["AgentKeys-Token", TOKEN, "Origin", "null"],
    "an empty Origin": ["AgentKeys-Token", TOKEN, "Origin", ""],
  };

  for (const [name, headers] of Object.entries(ALLOWED)) {
    it(`admits ${name}; the upstream does not see the token`, async () => {
      const answer = await call({ port: sidecar.port, path: "/s/a", headers: ["Host", host, ...headers] });
      expect(answer.status).to.equal(200);
      expect(upstream.received[0]?.rawHeaders.join("\n")).not.to.include(TOKEN);
    });
  }

  for (const [name, headers] of Object.entries(REFUSED)) {
    it(`refuses ${name}`, async () => {
      const answer = await call({ port: sidecar.port, path: "/s/a", headers: ["Host", host, ...headers] });
      expect([answer.status, answer.code]).to.deep.equal([403, "caller_not_allowed"]);
      expect(upstream.received).to.have.length(0);
    });
  }

  it("refuses a token in the query", async () => {
    const answer = await call({ port: sidecar.port, path: `/s/a?token=${TOKEN}`, headers: ["Host", host] });
    expect(answer.code).to.equal("caller_not_allowed");
  });

  for (const [name, hosts] of Object.entries({
    "another name for loopback": (port: string) => [`localhost:${port}`],
    "a page's name that resolves to loopback": (port: string) => [`evil.example:${port}`],
    "another port": () => ["127.0.0.1:1"],
    "no port": () => ["127.0.0.1"],
    "a trailing dot": (port: string) => [`127.0.0.1.:${port}`],
    two: (port: string) => [`127.0.0.1:${port}`, "evil.example"],
    "an empty one": () => [""],
  })) {
    it(`refuses a Host that is not the listener's own: ${name}`, async () => {
      const headers = hosts(String(sidecar.port)).flatMap((one) => ["Host", one]);
      headers.push("AgentKeys-Token", TOKEN);
      const answer = await call({ port: sidecar.port, path: "/s/a", headers });
      expect([answer.status, answer.code]).to.deep.equal([403, "caller_not_allowed"]);
      expect(upstream.received).to.have.length(0);
    });
  }

  it("an unknown caller learns nothing about which services there are", async () => {
    const known = await call({ port: sidecar.port, path: "/s/a", headers: ["Host", host] });
    const unknown = await call({ port: sidecar.port, path: "/none/a", headers: ["Host", host] });
    expect([known.status, known.code]).to.deep.equal([unknown.status, unknown.code]);
    const admitted = await call({
      port: sidecar.port,
      path: "/none/a",
      headers: ["Host", host, "AgentKeys-Token", TOKEN],
    });
    expect([admitted.status, admitted.code]).to.deep.equal([404, "route_not_found"]);
  });

  for (const token of ["", "short"]) {
    it(`a token of ${String(token.length)} bytes protects nothing: it cannot be configured`, () => {
      expect(() => tokenAdmission(Buffer.from(token), host)).to.throw(RangeError);
    });
  }
});
