import { generateKeyPairSync } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";

import { expect } from "chai";

import {
  type BrokerKeys,
  type FollowerTiming,
  brokerKeysFromFile,
  brokerKeysFromOrigin,
} from "../../../offchain/http/broker-keys";
import { type PublicJwk, publicJwk } from "../../../offchain/wire/jwks";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { tcpServer, testServer, until } from "../../helpers/upstream";

const folders = temporaryFolders();
const newKey = (): PublicJwk => publicJwk(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const [first, second] = [newKey(), newKey()];
const setOf = (...keys: readonly unknown[]): string => JSON.stringify({ keys });

/** A day, so that only what a test changes happens. */
const DAY_MS = 86_400_000;
const QUICK: FollowerTiming = { refreshMs: 5, retryMs: 5, maxAgeMs: DAY_MS, answerMs: 60_000 };

type Say = (response: ServerResponse) => void;
const json =
  (body: string, status = 200): Say =>
  (response) =>
    response.writeHead(status, { "content-type": "application/json" }).end(body);

/** Answers in the place of a key set: none of them may change what is known. */
const NO_KEY_SETS: Readonly<Record<string, Say>> = {
  "no JSON": json("{"),
  "no object": json("[]"),
  "no keys": json("{}"),
  "keys that are none": json('{"keys":{}}'),
  "a key that is none": json(setOf(first, "key")),
  "keys twice": json(`{"keys":[],"keys":${JSON.stringify([first])}}`),
  "a byte order mark": json(`\ufeff${setOf(first)}`),
  "404": json(setOf(second), 404),
  "500": json(setOf(second), 500),
  "204": (response) => response.writeHead(204).end(),
  "more than 64 KiB": json(`${setOf(second).slice(0, -1)},"pad":"${"x".repeat(70_000)}"}`),
  "a body without an end": (response) => {
    response.writeHead(200);
    const go = (): void => {
      if (!response.destroyed) response.write(" ".repeat(8_192), () => setImmediate(go));
    };
    go();
  },
  "a body that is cut": (response) => {
    response.writeHead(200, { "content-length": "10000" }).write(setOf(second), () => response.destroy());
  },
};

describe("http: the broker's keys, followed", () => {
  let broker: Awaited<ReturnType<typeof testServer>>;
  let say: Say;
  const following: BrokerKeys[] = [];

  before(async () => {
    broker = await testServer((_request, response) => {
      say(response);
    });
  });
  beforeEach(() => {
    say = json(setOf(first));
  });
  afterEach(() => {
    for (const one of following.splice(0)) one.close();
    broker.received.length = 0;
  });
  after(async () => {
    await broker.stop();
    folders.removeAll();
  });

  async function follow(change: Partial<FollowerTiming> = {}): Promise<BrokerKeys> {
    const one = await brokerKeysFromOrigin(broker.url, { ...QUICK, ...change });
    following.push(one);
    return one;
  }
  /** Waits until the set has been asked for and answered again. */
  async function askedAgain(times = 3): Promise<void> {
    const before = broker.received.length;
    await until(() => broker.received.length >= before + times);
  }

  it("knows the published keys and no other", async () => {
    const keys = await follow({ refreshMs: DAY_MS });
    expect(keys.key(first.kid)?.export({ format: "jwk" })).to.include({ x: first.x, y: first.y });
    expect(keys.ready().ok).to.equal(true);
    for (const kid of [second.kid, "", "constructor", first.kid.toLowerCase()]) {
      expect(keys.key(kid)).to.equal(undefined);
    }
    expect(broker.received.map((one) => [one.method, one.url])).to.deep.equal([["GET", "/.well-known/jwks.json"]]);
  });

  it("takes up a key that is published, and lets go of one that is withdrawn", async () => {
    const keys = await follow();
    say = json(setOf(first, second));
    await until(() => keys.key(second.kid) !== undefined);
    expect(keys.key(first.kid)).not.to.equal(undefined);
    say = json(setOf(second));
    await until(() => keys.key(first.kid) === undefined);
    expect(keys.key(second.kid)).not.to.equal(undefined);
    say = json(setOf());
    await until(() => keys.key(second.kid) === undefined);
  });

  it("passes over keys that do not sign ES256", async () => {
    const secret = { ...generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" }) };
    const others = [
      { ...first, kid: "a", use: "enc" },
      { ...first, kid: "b", alg: "none" },
      { ...first, kid: "c", alg: "HS256" },
      { ...secret, kid: "d", use: "sig", alg: "ES256" },
      { ...first, kid: "e", x: second.x },
      { kty: "oct", k: "c2VjcmV0", kid: "f", use: "sig", alg: "ES256" },
      { ...first, kid: 7 },
    ];
    say = json(setOf(...others, second));
    const keys = await follow();
    expect(keys.key(second.kid)).not.to.equal(undefined);
    for (const kid of "abcdef7") expect(keys.key(kid), kid).to.equal(undefined);
  });

  for (const [name, answer] of Object.entries(NO_KEY_SETS)) {
    it(`keeps what it knows when the answer is ${name}`, async () => {
      const keys = await follow();
      say = answer;
      await askedAgain();
      expect(keys.key(first.kid)).not.to.equal(undefined);
      expect(keys.key(second.kid)).to.equal(undefined);
      say = json(setOf(second));
      await until(() => keys.key(second.kid) !== undefined);
    });

    it(`knows nothing when the first answer is ${name}, and is not ready`, async () => {
      say = answer;
      const keys = await follow();
      expect(keys.key(first.kid)).to.equal(undefined);
      expect(keys.ready()).to.deep.include({ ok: false });
      say = json(setOf(first));
      await until(() => keys.ready().ok);
      expect(keys.key(first.kid)).not.to.equal(undefined);
    });
  }

  it("does not follow a redirect", async () => {
    const other = await testServer((_request, response) => {
      json(setOf(second))(response);
    });
    try {
      const keys = await follow();
      for (const status of [301, 302, 303, 307, 308]) {
        say = (response) => response.writeHead(status, { location: `${other.url}/.well-known/jwks.json` }).end();
        await askedAgain();
      }
      expect(keys.key(second.kid)).to.equal(undefined);
      expect(keys.key(first.kid)).not.to.equal(undefined);
      expect(other.connections()).to.equal(0);
    } finally {
      await other.stop();
    }
  });

  it("believes nothing once no answer has come for its longest age, and again after the next", async () => {
    const keys = await follow({ maxAgeMs: 1_000 });
    expect(keys.ready().ok).to.equal(true);
    say = json("", 503);
    await until(() => keys.key(first.kid) === undefined);
    expect(keys.ready()).to.deep.include({ ok: false });
    say = json(setOf(first));
    await until(() => keys.key(first.kid) !== undefined);
    expect(keys.ready().ok).to.equal(true);
  });

  it("a broker that sends a byte now and then does not hold it up", async () => {
    const drip = await tcpServer((socket) => {
      const timer = setInterval(() => socket.write(" "), 10);
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
      socket.on("close", () => {
        clearInterval(timer);
      });
    });
    try {
      const keys = await brokerKeysFromOrigin(drip.url, { ...QUICK, answerMs: 100, retryMs: DAY_MS });
      following.push(keys);
      expect(keys.ready()).to.deep.include({ ok: false });
    } finally {
      await drip.stop();
    }
  });

  it("asks no more once it is closed", async () => {
    const keys = await follow();
    await askedAgain();
    keys.close();
    // what was under way may still arrive
    await new Promise((done) => setTimeout(done, 50));
    const before = broker.received.length;
    await new Promise((done) => setTimeout(done, 100));
    expect(broker.received.length).to.equal(before);
  });
});

describe("http: the broker's keys, pinned in a file", () => {
  after(() => {
    folders.removeAll();
  });

  it("knows the keys of the file, and not those of another kid", () => {
    const file = join(folders.make(), "jwks.json");
    writeFileSync(file, setOf(first));
    const keys = brokerKeysFromFile(file);
    expect(keys.key(first.kid)).not.to.equal(undefined);
    expect(keys.key(second.kid)).to.equal(undefined);
    expect(keys.ready().ok).to.equal(true);
  });

  it("takes up a replacement, a withdrawal with it; keeps what is pinned when the file is damaged or gone", async () => {
    const file = join(folders.make(), "jwks.json");
    const replace = (content: string): void => {
      writeFileSync(`${file}.tmp`, content);
      renameSync(`${file}.tmp`, file);
    };
    replace(setOf(first));
    const keys = brokerKeysFromFile(file);
    expect(keys.key(first.kid)).not.to.equal(undefined);
    replace(setOf(second));
    await until(() => keys.key(second.kid) !== undefined);
    expect(keys.key(first.kid)).to.equal(undefined);
    for (const damage of ["{", "[]"]) {
      replace(damage);
      // looked at once a second
      await new Promise((done) => setTimeout(done, 1_100));
      expect(keys.key(second.kid)).not.to.equal(undefined);
    }
    rmSync(file);
    await new Promise((done) => setTimeout(done, 1_100));
    expect(keys.key(second.kid)).not.to.equal(undefined);
    replace(setOf(first));
    await until(() => keys.key(first.kid) !== undefined);
  });

  it("is not ready without a file, and takes it up when it comes", async () => {
    const file = join(folders.make(), "jwks.json");
    const keys = brokerKeysFromFile(file);
    expect(keys.ready()).to.deep.include({ ok: false });
    expect(keys.key(first.kid)).to.equal(undefined);
    writeFileSync(file, setOf(first));
    await until(() => keys.ready().ok);
  });
});
