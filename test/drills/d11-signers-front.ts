import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { prepareEpoch } from "../../offchain/signer/vault/epochs";
import { KeyFile, type VaultUnlock } from "../../offchain/signer/vault/keys/unlock";
import { VaultFileError, openContents } from "../../offchain/signer/vault/sealed-file";
import { fromBase64url } from "../../offchain/wire/bytes";
import { type AgentCredentialAnswer, KMS_PATHS, PAYLOAD_ALGORITHM } from "../../offchain/wire/kms";
import { decryptObject, parseObject } from "../../offchain/wire/object";
import type { Result } from "../../offchain/wire/result";
import { Secret } from "../../offchain/wire/secret";
import { STS_CREDENTIALS_PATH, STS_ROUTES } from "../../offchain/wire/sts";
import { type PasskeyParty, passkeyParty } from "../helpers/passkey-party";
import { commandOf, descendants, listeningPorts, secretsInMemory } from "../helpers/process-memory";
import { type Secrets, secretsIn, secretsUnder } from "../helpers/secret-forms";
import { type VaultPipe, dataKeysWords, pipeFrame, startVault } from "../helpers/vault";
import { type AnyAttack, BROKER_CALLER, routeAttacks } from "../helpers/vault-route-attacks";
import { DATA_KEYS_ROUTE, WORKER_CALLER, vaultAttacks } from "../helpers/vault-attacks";
import { copyVaultFiles, vaultSecrets } from "../helpers/vault-thief";
import { makeProof, nonce } from "../helpers/words";
import type { Drill, DrillLog } from "./drill";
import type { World } from "./world";

/** Of each of a dozen kinds of requests for content keys. */
const EACH = 90;

/**
 * D11: the attacker has the signer's front, and with it the vault's pipe: it may send any frame, name any caller, and
 * see every answer. Or it has the signer's disk without what opens the vault's file, its logs, and the front's memory.
 */
export const d11: Drill = {
  id: "D11",
  title: "the signer's front, or its disk without the vault's sealing key",
  async run(world, log) {
    const dir = mkdtempSync(join(tmpdir(), "agentkeys-d11-"));
    const party = await passkeyParty(world.stack);
    try {
      await world.nextBlock();
      const client = await party.client();
      const created = await client.create(party.label, party.authenticator);
      log.honest("an agent key through the real front", created.ok, created.ok ? "" : created.failure.code);
      await client.close();
      if (!created.ok) return;
      const key = created.value;
      const secrets = vaultSecrets(world);
      await fromTheFront(world, log, { dir, party, key, secrets });
      fromTheDisk(world, log, dir, secrets);
      fromMemory(log, secrets);
      await world.fetchHonestly(log);
    } finally {
      party.operator.close();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

interface Loot {
  readonly dir: string;
  readonly party: PasskeyParty;
  readonly key: AgentCredentialAnswer;
  readonly secrets: Secrets;
}

/** Another vault process over the same keys and state, whose pipe the attacker holds. */
async function fromTheFront(world: World, log: DrillLog, { dir, party, key, secrets }: Loot): Promise<void> {
  const stateDir = join(dir, "vault");
  copyVaultFiles(world.stack.dir, stateDir);
  const cores = mkdtempSync(join(dir, "cores-"));
  const vault = await startVault(world.stack, stateDir, {
    env: { VAULT_FILE: join(stateDir, "vault.sealed") },
    coresIn: cores,
  });
  try {
    const other = await world.newParty("agent-d11");
    await world.as(other, async () => {
      await world.store("sk-of-another-operator");
    });
    const before = vault.said.answers().length;
    for (const attack of await vaultAttacks(world, vault, other, EACH)) await tryAttack(vault, log, attack);
    for (const attack of routeAttacks(world, party, key)) await tryAttack(vault, log, attack);
    const answers = vault.said.answers().subarray(before);
    nothing(log, "vault", "a secret in its answers", secretsIn(answers, secrets));
    nothing(log, "vault", "a secret in its log, at its most talkative", secretsIn(vault.said.logs(), secrets));
    await honestly(world, log, vault, party, key);
    await bySignals(log, vault, cores);
  } finally {
    await vault.stop();
  }
}

let frame = 10_000_000;

function send(
  vault: VaultPipe,
  { route = DATA_KEYS_ROUTE, caller = WORKER_CALLER, body, headers }: Omit<AnyAttack, "kind" | "codes">,
): Promise<Result<unknown>> {
  const id = (frame += 1);
  vault.write(pipeFrame({ id, route, caller, body: Buffer.from(body).toString("base64"), headers }));
  return vault.answer(id);
}

async function tryAttack(vault: VaultPipe, log: DrillLog, attack: AnyAttack): Promise<void> {
  const answer = await send(vault, attack);
  const [wanted = "request_malformed"] = attack.codes;
  const got = answer.ok ? undefined : answer.failure.code;
  const isOne = got !== undefined && attack.codes.includes(got);
  log.refusedBy("vault", attack.kind, isOne ? wanted : got, wanted);
}

/** The same pipe, the same keys, and somebody who may. */
async function honestly(
  world: World,
  log: DrillLog,
  vault: VaultPipe,
  party: PasskeyParty,
  key: AgentCredentialAnswer,
): Promise<void> {
  const { cap } = await world.mint("fetch");
  const answer = await send(vault, { body: JSON.stringify(dataKeysWords(world, world.agentDevice, "fetch", cap)) });
  const { content_key } = (answer.ok ? answer.value : {}) as { content_key?: string };
  const object = parseObject(readFileSync(world.objectFile()));
  const contentKey = fromBase64url(content_key);
  const opened = object !== undefined && contentKey !== undefined && decryptObject(object, contentKey) !== undefined;
  log.honest("the one content key that a device asks for", opened);

  const target = world.stack.urls.broker + (STS_ROUTES[0]?.path ?? "");
  const { header: proof } = makeProof(world.separator, world.agentDevice, { target, body: "{}" });
  const sts = JSON.stringify({ proof, method: "POST", target, body: "{}" });
  const token = await send(vault, { route: `POST ${STS_CREDENTIALS_PATH}`, caller: BROKER_CALLER, body: sts });
  log.honest("a token for the device's own actor", token.ok, token.ok ? "" : token.failure.code);

  const body = JSON.stringify({
    keyId: key.keyId,
    payload: nonce(),
    algorithm: PAYLOAD_ALGORITHM,
    accountAddress: party.account,
  });
  const own = makeProof(world.separator, party.agent, {
    target: world.stack.urls.signerPublic + KMS_PATHS.signAgent,
    credential: key.agentCredential,
    body,
  });
  const headers = { authorization: `AgentKeys ${key.agentCredential}`, proof: own.header };
  const signed = await send(vault, { route: `POST ${KMS_PATHS.signAgent}`, caller: "public", body, headers });
  log.honest("a signature that the agent asks for", signed.ok, signed.ok ? "" : signed.failure.code);
}

/** A front of the same user may send signals: one that opens Node's inspector, and one that would leave a core file. */
async function bySignals(log: DrillLog, vault: VaultPipe, cores: string): Promise<void> {
  const id = vault.child.pid ?? 0;
  vault.child.kill("SIGUSR1");
  for (let asked = 0; asked < 20; asked += 1) {
    await new Promise((done) => setTimeout(done, 50));
    const ready = await vault.ask("GET /readyz", "front", "");
    if (asked === 0) log.honest("it serves on", ready.ok);
  }
  nothing(log, "vault", "an inspector by SIGUSR1", listeningPorts(id).map(String));
  vault.child.kill("SIGSEGV");
  await vault.gone;
  if (vault.child.signalCode !== "SIGSEGV")
    throw new Error(`D11: the vault did not crash: ${String(vault.child.signalCode)}`);
  nothing(log, "vault", "a core file of its crash", readdirSync(cores));
}

/** Everything that lies on the signer's disk, but for the passphrase. */
function fromTheDisk(world: World, log: DrillLog, dir: string, secrets: Secrets): void {
  const { stack } = world;
  const passphraseFile = join(stack.dir, "vault", "passphrase");
  nothing(log, "disk", "a secret in any file or log, in any form", secretsUnder(stack.dir, secrets, [passphraseFile]));

  const stolen = join(dir, "stolen");
  copyVaultFiles(stack.dir, stolen);
  const file = join(stolen, "vault.sealed");
  const sealed = readFileSync(file);
  const guesses: readonly (readonly [string, VaultUnlock])[] = [
    ["no passphrase", new Secret(Buffer.alloc(0))],
    ["a guess", new Secret(Buffer.from("password"))],
    ["the file itself", new Secret(sealed)],
    ["the front's TLS key", new Secret(readFileSync(join(stack.dir, "certs", "signer.key")))],
    ["32 random bytes", new Secret(randomBytes(32))],
    ["a key file", new KeyFile(randomBytes(32))],
  ];
  for (const [what, unlock] of guesses)
    log.refusedBy("sealed file", `open it with ${what}`, opening(file, unlock), "closed");
  for (const at of [sealed.length - 1, sealed.length >> 1, 10]) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    writeFileSync(file, changed, { mode: 0o600 });
    const right = new Secret(readFileSync(passphraseFile));
    log.refusedBy("sealed file", "have the vault open a changed file", opening(file, right), "closed");
  }
  writeFileSync(file, sealed, { mode: 0o600 });

  // keys of the thief's own in the vault's place: it would know every object that is written from now on
  const own = join(dir, "own", "vault.sealed");
  prepareEpoch(own, new Secret(Buffer.from("the thief's")), true);
  const right = new Secret(readFileSync(passphraseFile));
  log.refusedBy("sealed file", "have the vault open keys of the thief's own", opening(own, right), "closed");
  log.honest("with its passphrase the stolen copy opens", opening(file, right) === undefined);
}

/** `closed` when it does not open. */
function opening(file: string, unlock: VaultUnlock): string | undefined {
  try {
    openContents(file, unlock);
    return undefined;
  } catch (error) {
    if (error instanceof VaultFileError) return "closed";
    throw error;
  }
}

/** What a core file of the front would hold. */
function fromMemory(log: DrillLog, secrets: Secrets): void {
  const ids = descendants(process.pid);
  const find = (room: string): number => {
    const id = ids.find((one) => commandOf(one)?.includes(join("signer", room, "main.")));
    if (id === undefined) throw new Error(`D11: no process of the signer's ${room}`);
    return id;
  };
  nothing(log, "front", "a secret in its memory", secretsInMemory(find("front"), secrets));
  const { passphrase, ...keys } = secrets;
  const held = secretsInMemory(find("vault"), keys);
  log.honest("the same search finds K3 in the vault's own memory", held.includes("K3 of epoch 1"), held.join(", "));
  if (passphrase === undefined) throw new Error("D11: no passphrase was looked for");
}

/** The attack must have come to nothing at all. */
function nothing(log: DrillLog, by: string, attack: string, found: readonly string[]): void {
  log.refusedBy(by, attack, found.length === 0 ? "nothing" : found.join(", "), "nothing");
}
