import { once } from "node:events";
import { type Server, createServer } from "node:https";
import type { AddressInfo } from "node:net";

import { expect } from "chai";

import { signerClient } from "../../../offchain/http/signer-client";
import { ZERO32, toBase64url } from "../../../offchain/wire/bytes";
import type { DataKeysRequest } from "../../../offchain/wire/data-keys";
import type { Result } from "../../../offchain/wire/result";
import { fixedTls } from "../../helpers/fixed-tls";
import { type LeafWish, TestCa, type TlsIdentity, clientAuth, serverAuth } from "../../helpers/certificates";

const SIGNER = { type: "url", value: "spiffe://agentkeys/signer" } as const;
const WORDS: DataKeysRequest = {
  cap: "words-of-a-device",
  proof: "proof-of-a-device",
  method: "POST",
  target: "https://creds.example.org/v1/cred/fetch",
  body_hash: ZERO32,
  header: "header",
};
const KEYS = { content_key: toBase64url(Buffer.alloc(64, 1)), encrypted_key: toBase64url(Buffer.alloc(72, 2)) };

const codeOf = (result: Result<unknown>): string => (result.ok ? "ok" : result.failure.code);

/** A server that says it is the signer, and what it was told. */
interface Impostor {
  readonly origin: string;
  readonly heard: string[];
  stop(): Promise<void>;
}

async function impostor(
  identity: TlsIdentity,
  answer: { readonly status: number; readonly body: string },
  tls: object = {},
): Promise<Impostor> {
  const heard: string[] = [];
  const server: Server = createServer(
    { ca: identity.ca, cert: identity.cert, key: identity.key, requestCert: true, rejectUnauthorized: false, ...tls },
    (request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        heard.push(`${request.method ?? ""} ${request.url ?? ""} ${body}`);
        response.writeHead(answer.status, { "content-type": "application/json" }).end(answer.body);
      });
    },
  );
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `https://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    heard,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

describe("signer: what a worker asks of the signer's certificate (protocol 3.7)", () => {
  let ca: TestCa;
  let stranger: TestCa;
  let worker: TlsIdentity;

  before(async () => {
    ca = await TestCa.fresh();
    stranger = await TestCa.fresh();
    worker = await ca.issue();
  });

  const texts = () => ({ ca: Buffer.from(ca.pem), cert: Buffer.from(worker.cert), key: Buffer.from(worker.key) });

  /** What the client makes of a server with this certificate, and what that server was told. */
  async function ask(
    identity: TlsIdentity,
    answer = { status: 200, body: JSON.stringify(KEYS) },
    tls: object = {},
  ): Promise<{ readonly dataKeys: Result<unknown>; readonly ready: string; readonly heard: readonly string[] }> {
    const server = await impostor(identity, answer, tls);
    const client = signerClient({ origin: server.origin, tls: fixedTls(texts()) });
    try {
      const dataKeys = await client.dataKeys(WORDS);
      return { dataKeys, ready: codeOf(await client.ready()), heard: server.heard };
    } finally {
      await client.close();
      await server.stop();
    }
  }

  const issue = (wish: LeafWish = {}): Promise<TlsIdentity> =>
    ca.issue({ names: [SIGNER], usages: [serverAuth], ...wish });

  it("the signer's one name, for servers, by this CA: it is told the words and believed", async () => {
    const { dataKeys, ready, heard } = await ask(await issue());
    expect(dataKeys).to.deep.equal({ ok: true, value: KEYS });
    expect(ready).to.equal("ok");
    expect(heard).to.deep.equal([`POST /v1/data-keys ${JSON.stringify(WORDS)}`, "GET /readyz "]);
  });

  const hour = 3_600_000;
  const wishes: Readonly<Record<string, () => LeafWish>> = {
    "for clients only": () => ({ usages: [clientAuth] }),
    "for no named use": () => ({ usages: [] }),
    "of a worker": () => ({ names: [{ type: "url", value: "spiffe://agentkeys/worker/credentials" }] }),
    "of the broker": () => ({ names: [{ type: "url", value: "spiffe://agentkeys/broker" }] }),
    "of another trust domain": () => ({ names: [{ type: "url", value: "spiffe://agentkeys.example/signer" }] }),
    "with a path below": () => ({ names: [{ type: "url", value: "spiffe://agentkeys/signer/x" }] }),
    "with two names": () => ({ names: [SIGNER, { type: "url", value: "spiffe://agentkeys/broker" }] }),
    "with its host's name beside": () => ({ names: [SIGNER, { type: "ip", value: "127.0.0.1" }] }),
    "with its host's name only": () => ({ names: [{ type: "ip", value: "127.0.0.1" }] }),
    "with the name as a DNS name": () => ({ names: [{ type: "dns", value: "URI:spiffe://agentkeys/signer" }] }),
    "without a name": () => ({ names: [] }),
    "that has ended": () => ({ notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) }),
    "that is not yet": () => ({ notBefore: new Date(Date.now() + hour) }),
  };
  for (const [name, wish] of Object.entries(wishes)) {
    it(`a certificate ${name}: signer_unavailable, and it is told nothing`, async () => {
      const { dataKeys, ready, heard } = await ask(await issue(wish()));
      expect(codeOf(dataKeys)).to.equal("signer_unavailable");
      expect(ready).to.equal("signer_unavailable");
      expect(heard).to.deep.equal([]);
    });
  }

  it("another CA of the same name, its certificate sent along or not: signer_unavailable, told nothing", async () => {
    const theirs = await stranger.issue({ names: [SIGNER], usages: [serverAuth] });
    for (const identity of [theirs, { ...theirs, cert: `${theirs.cert}\n${theirs.ca}` }]) {
      const { dataKeys, heard } = await ask(identity);
      expect(codeOf(dataKeys)).to.equal("signer_unavailable");
      expect(heard).to.deep.equal([]);
    }
  });

  it("TLS 1.2: signer_unavailable, told nothing", async () => {
    const { dataKeys, heard } = await ask(await issue(), undefined, { maxVersion: "TLSv1.2" });
    expect(codeOf(dataKeys)).to.equal("signer_unavailable");
    expect(heard).to.deep.equal([]);
  });

  describe("the right certificate with an answer that is none", () => {
    const problem = (code: string, reason?: string): string => JSON.stringify({ code, reason, detail: "x" });
    const rows: readonly (readonly [string, number, string, string])[] = [
      ["no JSON", 200, "yes", "signer_unavailable"],
      ["no keys", 200, "{}", "signer_unavailable"],
      ["a content key that is too short", 200, JSON.stringify({ ...KEYS, content_key: "AAAA" }), "signer_unavailable"],
      [
        "a wrapped key that is too long",
        200,
        JSON.stringify({ ...KEYS, encrypted_key: toBase64url(Buffer.alloc(80)) }),
        "signer_unavailable",
      ],
      [
        "keys twice",
        200,
        `{"content_key":"${KEYS.content_key}",${JSON.stringify(KEYS).slice(1)}`,
        "signer_unavailable",
      ],
      ["keys with another status", 201, JSON.stringify(KEYS), "signer_unavailable"],
      ["a redirect", 302, JSON.stringify(KEYS), "signer_unavailable"],
      ["a refusal", 403, problem("device_revoked"), "device_revoked"],
      ["a refusal of a code that is none", 403, problem("go_on"), "signer_unavailable"],
      ["internal_error", 500, problem("internal_error"), "signer_unavailable"],
      ["route_not_found", 404, problem("route_not_found"), "signer_unavailable"],
      ["an error page", 502, "<html>", "signer_unavailable"],
    ];
    for (const [name, status, body, expected] of rows) {
      it(`${name}: ${expected}, asked once`, async () => {
        const { dataKeys, heard } = await ask(await issue(), { status, body });
        expect(codeOf(dataKeys)).to.equal(expected);
        expect(heard.filter((one) => one.startsWith("POST"))).to.have.length(1);
      });
    }

    it("nobody listening: signer_unavailable", async () => {
      const server = await impostor(await issue(), { status: 200, body: "" });
      await server.stop();
      const client = signerClient({ origin: server.origin, tls: fixedTls(texts()) });
      expect(codeOf(await client.dataKeys(WORDS))).to.equal("signer_unavailable");
      await client.close();
    });
  });
});
