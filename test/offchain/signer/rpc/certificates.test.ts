import { createHash } from "node:crypto";
import { once } from "node:events";
import { type DetailedPeerCertificate, TLSSocket, connect } from "node:tls";

import { expect } from "chai";

import { serviceMetrics } from "../../../../offchain/http/metrics";
import { type Listening, listen } from "../../../../offchain/http/server";
import { type SignerClient, signerClient } from "../../../../offchain/http/signer-client";
import { type TlsFiles, followTlsFiles } from "../../../../offchain/http/tls-files";
import { frontApp } from "../../../../offchain/signer/front/app";
import type { VaultClient } from "../../../../offchain/signer/front/vault-client";
import type { StsRequest } from "../../../../offchain/wire/sts";
import { ok } from "../../../../offchain/wire/result";
import { TestCa, type TlsIdentity, clientAuth, serverAuth } from "../../../helpers/certificates";
import { eventually } from "../../../helpers/eventually";
import { logLines } from "../../../helpers/log-lines";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { type TlsFolder, tlsFolder } from "../../../helpers/tls-folder";

const SIGNER = { usages: [serverAuth], names: [{ type: "url", value: "spiffe://agentkeys/signer" }] } as const;
const BROKER = { usages: [clientAuth], names: [{ type: "url", value: "spiffe://agentkeys/broker" }] } as const;
const WORDS: StsRequest = {
  proof: "proof-of-a-device",
  method: "POST",
  target: "https://broker.example.org/v1/sts/credentials",
  body: "{}",
};
const minVersion = "TLSv1.3";
/** Requests that are under way at any time. */
const WIDTH = 8;

/** Of a certificate's DER, as TLS sockets name it. */
const fingerprintOf = (pem: string): string => {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  return createHash("sha256").update(der).digest("hex");
};
const fingerprintIn = (peer: Pick<DetailedPeerCertificate, "raw">): string =>
  createHash("sha256").update(peer.raw).digest("hex");

describe("signer: certificates are replaced under load, on both sides (protocol 3.7)", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  let ca: TestCa;
  let front: TlsFolder;
  let broker: TlsFolder;
  let frontFiles: TlsFiles;
  let server: Listening;
  let client: SignerClient;
  let lines: readonly Readonly<Record<string, unknown>>[];
  /** Fingerprints of the client certificates by which the front let requests in, the last one last. */
  const callers: string[] = [];
  let asked = 0;
  let load: Load;
  /** Of whoever looks at the front's certificate. */
  let caller: TlsIdentity;

  /** The vault is in another process and sees no certificate: here it answers what it is asked for. */
  const vault: VaultClient = {
    ask(route) {
      asked += 1;
      return Promise.resolve(ok(route === "POST /v1/sts-credentials" ? { token: "a.b.c", expires_at: 1 } : {}));
    },
  };

  before(async () => {
    ca = await TestCa.fresh();
    caller = await ca.issue(BROKER);
    front = tlsFolder(folders.make(), await ca.issue(SIGNER));
    broker = tlsFolder(folders.make(), await ca.issue(BROKER));
    const kept = logLines();
    lines = kept.lines;
    // as the front's main does it
    frontFiles = followTlsFiles(front.paths, kept.log);
    const app = frontApp({ vault, log: logLines().log, metrics: serviceMetrics("signer:front") });
    server = await listen(
      (request, response) => {
        if (request.socket instanceof TLSSocket) callers.push(fingerprintIn(request.socket.getPeerCertificate(true)));
        app(request, response);
      },
      {
        host: "127.0.0.1",
        port: 0,
        tls: { ...frontFiles.current(), requestCert: true, rejectUnauthorized: true, minVersion },
      },
    );
    frontFiles.onChange((texts) => {
      server.renewTls({ ...texts, minVersion });
    });
    client = signerClient({ origin: server.url, tls: followTlsFiles(broker.paths, kept.log) });
    load = startLoad(() => client.stsCredentials(WORDS));
  });

  after(async () => {
    const outcomes = await load.stop();
    await client.close();
    frontFiles.close();
    await server.close();
    folders.removeAll();
    // of the whole file: no request failed, whatever was replaced meanwhile
    expect(outcomes.failed).to.deep.equal([]);
    expect(outcomes.good).to.equal(asked);
  });

  /** The certificate that a new connection is shown. */
  async function shown(): Promise<string> {
    const { port, hostname } = new URL(server.url);
    const socket = connect({ ...caller, host: hostname, port: Number(port), checkServerIdentity: () => undefined });
    await once(socket, "secureConnect");
    const fingerprint = fingerprintIn(socket.getPeerCertificate(true));
    socket.destroy();
    return fingerprint;
  }

  const errors = (): number => lines.filter((line) => line["level"] === 50).length;
  const isShown = (identity: TlsIdentity) => async (): Promise<boolean> =>
    (await shown()) === fingerprintOf(identity.cert);
  const moreAnswers = async (): Promise<void> => {
    const until = load.good() + 4 * WIDTH;
    await eventually(() => Promise.resolve(load.good() >= until));
  };

  it("the front's: new connections see the new one, requests go on", async () => {
    await moreAnswers();
    for (let n = 0; n < 2; n += 1) {
      const next = await ca.issue(SIGNER);
      expect(await shown()).to.not.equal(fingerprintOf(next.cert));
      front.replace(next);
      await eventually(isShown(next));
      await moreAnswers();
    }
    expect(load.failed()).to.deep.equal([]);
  });

  it("the broker's: the front sees the new one, requests go on", async () => {
    for (let n = 0; n < 2; n += 1) {
      const next = await ca.issue(BROKER);
      expect(callers).to.not.include(fingerprintOf(next.cert));
      broker.replace(next);
      await eventually(() => Promise.resolve(callers.at(-1) === fingerprintOf(next.cert)));
      await moreAnswers();
      expect(callers.at(-1)).to.equal(fingerprintOf(next.cert));
    }
    expect(load.failed()).to.deep.equal([]);
  });

  it("both at once", async () => {
    const [nextFront, nextBroker] = [await ca.issue(SIGNER), await ca.issue(BROKER)];
    front.replace(nextFront);
    broker.replace(nextBroker);
    await eventually(isShown(nextFront));
    await eventually(() => Promise.resolve(callers.at(-1) === fingerprintOf(nextBroker.cert)));
    await moreAnswers();
    expect(load.failed()).to.deep.equal([]);
  });

  const damages: Readonly<Record<string, (folder: TlsFolder, next: TlsIdentity) => void>> = {
    "cut off": (one, next) => {
      one.overwrite("cert", next.cert.slice(0, 200));
    },
    "of another key": (one, next) => {
      one.replace({ cert: next.cert });
    },
    "with a key that others may read": (one, next) => {
      one.replace(next);
      one.setKeyMode(0o644);
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    it(`a certificate ${name}: both sides say so and go on with the old one until it is mended`, async () => {
      const before = { errors: errors(), shown: await shown(), caller: callers.at(-1) };
      const [nextFront, nextBroker] = [await ca.issue(SIGNER), await ca.issue(BROKER)];
      damage(front, nextFront);
      damage(broker, nextBroker);
      await eventually(() => Promise.resolve(errors() === before.errors + 2));
      await moreAnswers();
      expect([await shown(), callers.at(-1)]).to.deep.equal([before.shown, before.caller]);
      front.replace(nextFront);
      broker.replace(nextBroker);
      await eventually(isShown(nextFront));
      await eventually(() => Promise.resolve(callers.at(-1) === fingerprintOf(nextBroker.cert)));
      expect(errors()).to.equal(before.errors + 2);
      expect(load.failed()).to.deep.equal([]);
    });
  }
});

/** Requests without a pause, `WIDTH` at a time, and what came of them. */
interface Load {
  good(): number;
  /** Codes of those that failed. */
  failed(): readonly string[];
  /** Ends with the requests that are under way. */
  stop(): Promise<{ readonly good: number; readonly failed: readonly string[] }>;
}

function startLoad(send: () => ReturnType<SignerClient["stsCredentials"]>): Load {
  let good = 0;
  const failed: string[] = [];
  let isStopped = false;
  const lane = async (): Promise<void> => {
    while (!isStopped) {
      const answer = await send();
      if (answer.ok) good += 1;
      else failed.push(answer.failure.code);
      // leaves the other side of the process its turn
      await new Promise((done) => setTimeout(done, 5));
    }
  };
  const lanes = Array.from({ length: WIDTH }, lane);
  return {
    good: () => good,
    failed: () => failed,
    async stop() {
      isStopped = true;
      await Promise.all(lanes);
      return { good, failed };
    },
  };
}
