import { Resolver } from "node:dns";
import { connect } from "node:net";

import { expect } from "chai";

import { type LookupAll, isPrivateAddress, publicLookup } from "../../../offchain/sidecar/resolve";
import { type DnsServer, dnsServer } from "../../helpers/dns-server";
import { call, entry, localSidecar } from "../../helpers/sidecar";
import { testServer } from "../../helpers/upstream";

/** RFC 5737: never routed, and public by its form. */
const PUBLIC = "198.51.100.7";

const PRIVATE = [
  "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
  "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.168.0.1", "198.18.0.1",
  "198.19.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
  "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",
  "0:0:0:0:0:ffff:7f00:0001", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "100::1", "2001::1",
  "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd12:3456::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fe80::1%1",
  "febf::1", "fec0::1", "ff02::1", "2606:4700::1111%eth0",
  // no addresses at all
  "", "localhost", "0177.0.0.1", "0x7f.1", "2130706433", "127.1", "127.0.0.1.", " 127.0.0.1", "[::1]",
]; // prettier-ignore

const PUBLIC_ONES = [
  "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
  "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
  "198.20.0.0", "223.255.255.255", PUBLIC, "::ffff:8.8.8.8", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00::1",
]; // prettier-ignore

/** Hosts of an upstream, spelled so that a check of text would miss them. */
const SPELLINGS = [
  "127.0.0.1", "127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1.", "0",
  "169.254.169.254", "0xa9fea9fe", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
  "[0:0:0:0:0:ffff:a9fe:a9fe]", "\uff11\uff12\uff17.0.0.1", "127\u30020.0.1",
]; // prettier-ignore

describe("sidecar: addresses of upstreams", () => {
  for (const address of PRIVATE) {
    it(`${JSON.stringify(address)} is no public address`, () => {
      expect(isPrivateAddress(address)).to.equal(true);
    });
  }
  for (const address of PUBLIC_ONES) {
    it(`${address} is a public address`, () => {
      expect(isPrivateAddress(address)).to.equal(false);
    });
  }

  for (const host of SPELLINGS) {
    it(`an upstream at ${host} is refused; the same is reached where the entry allows it`, async () => {
      const upstream = await testServer();
      const url = `http://${host}:${String(upstream.port)}`;
      const refusing = await localSidecar([entry(url, { service: "s", allowPrivate: false })]);
      const allowing = await localSidecar([entry(upstream.url, { service: "s", allowPrivate: true })]);
      try {
        const answer = await call({ port: refusing.port, path: "/s/a" });
        expect([answer.status, answer.code]).to.deep.equal([400, "request_malformed"]);
        expect(upstream.connections()).to.equal(0);
        expect((await call({ port: allowing.port, path: "/s/a" })).status).to.equal(200);
      } finally {
        await refusing.stop();
        await allowing.stop();
        await upstream.stop();
      }
    });
  }

  for (const host of ["localhost", "localhost.", "LOCALHOST"]) {
    it(`a name for loopback is refused once it is resolved: ${host}`, async () => {
      const upstream = await testServer();
      const url = `http://${host}:${String(upstream.port)}`;
      const sidecar = await localSidecar([entry(url, { service: "s", allowPrivate: false })]);
      try {
        const answer = await call({ port: sidecar.port, path: "/s/a" });
        expect([answer.status, answer.code]).to.deep.equal([503, "upstream_unavailable"]);
        expect(upstream.connections()).to.equal(0);
      } finally {
        await sidecar.stop();
        await upstream.stop();
      }
    });
  }
});

describe("sidecar: a name whose addresses change", () => {
  let dns: DnsServer;
  let answers: (n: number) => readonly string[];

  before(async () => {
    dns = await dnsServer((n) => answers(n));
  });
  beforeEach(() => {
    dns.asked.length = 0;
  });
  after(() => dns.stop());

  /** `dns.lookup` over a server of the test: the resolver of the system cannot be pointed at one. */
  const resolve: LookupAll = (hostname, _options, callback) => {
    const resolver = new Resolver();
    resolver.setServers([dns.at]);
    resolver.resolve4(hostname, (error, addresses) => {
      const found = error === null ? addresses : [];
      callback(
        error,
        found.map((address) => ({ address, family: 4 })),
      );
    });
  };

  /** Addresses that a connection was tried at, until the first attempt or error. */
  async function attempts(): Promise<readonly string[]> {
    const tried: string[] = [];
    const socket = connect({ host: "rebind.test", port: 9, lookup: publicLookup(resolve), autoSelectFamily: true });
    socket.on("connectionAttempt", (ip: string) => {
      tried.push(ip);
      // Node cannot destroy a socket while it tells of an attempt
      setImmediate(() => socket.destroy());
    });
    await new Promise<void>((done) => {
      socket
        .on("error", () => undefined)
        .on("close", () => {
          done();
        });
    });
    return tried;
  }

  it("is asked for once, and connected to where that answer was checked", async () => {
    answers = (n) => (n === 0 ? [PUBLIC] : ["127.0.0.1"]);
    expect(await attempts()).to.deep.equal([PUBLIC]);
    expect(dns.asked).to.deep.equal(["rebind.test"]);
  });

  it("the later answer is refused by itself", async () => {
    answers = () => ["127.0.0.1"];
    expect(await attempts()).to.deep.equal([]);
    expect(dns.asked).to.deep.equal(["rebind.test"]);
  });

  it("of several addresses only the public ones are tried, wherever they stand", async () => {
    answers = () => ["127.0.0.1", PUBLIC, "169.254.169.254", "10.0.0.1"];
    expect(await attempts()).to.deep.equal([PUBLIC]);
  });

  for (const all of [true, false]) {
    it(`an address list of private ones only is EPRIVATE (all: ${String(all)})`, async () => {
      answers = () => ["10.0.0.1", "127.0.0.1"];
      const error = await new Promise<NodeJS.ErrnoException | null>((done) => {
        publicLookup(resolve)("rebind.test", { all }, (cause) => {
          done(cause);
        });
      });
      expect(error?.code).to.equal("EPRIVATE");
    });
  }

  it("a name that does not resolve is the resolver's own error", async () => {
    answers = () => [];
    const error = await new Promise<NodeJS.ErrnoException | null>((done) => {
      publicLookup(resolve)("rebind.test", {}, (cause) => {
        done(cause);
      });
    });
    expect(error?.code).to.equal("ENODATA");
  });
});
