import { join } from "node:path";

import { expect } from "chai";

import { KMS_PATHS } from "../../../../offchain/wire/kms";
import type { World } from "../../../drills/world";
import { TestCa } from "../../../helpers/certificates";
import { type ServiceDoor, outcomeOf, serviceDoor } from "../../../helpers/service-door";
import { sharedWorld } from "../../../helpers/shared-world";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { type VaultPipe, startVault } from "../../../helpers/vault";

const DATA_WORKERS = ["worker/credentials", "worker/memory", "worker/config"];
const CLASSIFY = "worker/classify";
const BROKER = "broker";
const EVERYBODY = [...DATA_WORKERS, CLASSIFY, BROKER];
/** Names that no service has, and names of services that call nobody. */
const NOBODY = [
  "signer",
  "worker",
  "worker/",
  "worker/Credentials",
  "worker/credentials/x",
  "brokers",
  "front",
  "worker/credentials, URI:spiffe://agentkeys/broker",
];

/** Every route behind mutual TLS, written from protocol 3.7 by hand: who may call it, and what an empty body gets. */
const ROUTES: readonly {
  readonly route: `${"GET" | "POST"} ${string}`;
  readonly callers: readonly string[];
  readonly answer: string;
}[] = [
  { route: "POST /v1/data-keys", callers: DATA_WORKERS, answer: "request_malformed" },
  { route: "POST /v1/sign/audit-row", callers: DATA_WORKERS, answer: "request_malformed" },
  { route: "POST /v1/sts-credentials", callers: [BROKER], answer: "request_malformed" },
  { route: "POST /v1/verify/k10-sig", callers: EVERYBODY, answer: "request_malformed" },
  { route: "POST /v1/verify/k11-assertion", callers: EVERYBODY, answer: "request_malformed" },
  { route: "GET /v1/epoch", callers: EVERYBODY, answer: "ok" },
  { route: "GET /v1/audit-keys", callers: EVERYBODY, answer: "ok" },
];

describe("signer: who may call what (protocol 3.7)", function () {
  this.timeout(180_000);
  const folders = temporaryFolders();
  let world: World;
  let door: ServiceDoor;
  let vault: VaultPipe;
  let ca: TestCa;

  before(async () => {
    world = await sharedWorld();
    ca = await TestCa.of(join(world.stack.dir, "certs"));
    door = serviceDoor(world.stack);
    vault = await startVault(world.stack, join(folders.make(), "vault"));
  });

  after(async () => {
    await door.close();
    await vault.stop();
    folders.removeAll();
  });

  /** What the front answers to whom this CA names so. */
  async function atTheFront(route: string, name: string): Promise<string> {
    const [method = "", path = ""] = route.split(" ");
    const identity = await ca.issue({ names: [{ type: "url", value: `spiffe://agentkeys/${name}` }] });
    return outcomeOf(await door.as(identity, method as "GET" | "POST", path, method === "POST" ? "{}" : undefined));
  }

  /** What the vault answers where the front's word is that this one calls. */
  async function atTheVault(route: string, caller: string): Promise<string> {
    const answer = await vault.ask(route, caller, route.startsWith("POST") ? "{}" : "");
    return answer.ok ? "ok" : answer.failure.code;
  }

  for (const { route, callers, answer } of ROUTES) {
    describe(route, () => {
      it("at the front, by certificate", async () => {
        for (const name of [...EVERYBODY, ...NOBODY]) {
          const expected = callers.includes(name) ? answer : "caller_not_allowed";
          expect(await atTheFront(route, name), name).to.equal(expected);
        }
      });

      it("in the vault, whatever the front lets through", async () => {
        for (const name of [...EVERYBODY, ...NOBODY]) {
          const expected = callers.includes(name) ? answer : "caller_not_allowed";
          expect(await atTheVault(route, `URI:spiffe://agentkeys/${name}`), name).to.equal(expected);
        }
        for (const caller of ["", "public", "front", "broker", "spiffe://agentkeys/broker", "URI:", "DNS:broker"]) {
          expect(await atTheVault(route, caller), caller).to.equal("caller_not_allowed");
        }
      });
    });
  }

  it("the door for services has no route of agents and clouds, and theirs none of services", async () => {
    const identity = await ca.issue({ names: [{ type: "url", value: "spiffe://agentkeys/broker" }] });
    for (const path of Object.values(KMS_PATHS)) {
      expect(outcomeOf(await door.as(identity, "POST", path, "{}")), path).to.equal("route_not_found");
    }
    for (const path of ["/.well-known/openid-configuration", "/.well-known/jwks.json"]) {
      expect(outcomeOf(await door.as(identity, "GET", path)), path).to.equal("route_not_found");
    }
    for (const { route } of ROUTES) {
      const [method = "", path = ""] = route.split(" ");
      const headers = { "content-type": "application/json" };
      const body = method === "POST" ? { body: "{}", headers } : {};
      const answer = await fetch(world.stack.urls.signerPublic + path, { method, ...body });
      expect(answer.status, route).to.equal(404);
    }
  });

  it("the vault has no method beside these", async () => {
    const { callers } = { callers: EVERYBODY.map((name) => `URI:spiffe://agentkeys/${name}`) };
    const routes = ["POST /v1/sign", "POST /v1/sign/jws", "POST /v1/epoch", "GET /v1/data-keys", "POST /readyz", ""];
    const more = [...routes, "POST /v1/data-keys ", "post /v1/data-keys", "__proto__", "toString", "prepare-epoch"];
    for (const route of more) {
      for (const caller of [...callers, "front"]) {
        expect(await atTheVault(route, caller), route).to.equal("route_not_found");
      }
    }
  });
});
