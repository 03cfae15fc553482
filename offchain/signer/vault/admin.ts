import { lstatSync } from "node:fs";
import { type Socket, createServer } from "node:net";
import { join } from "node:path";

import type { Logger } from "../../http/log";
import { listenPrivately } from "../../http/unix-socket";
import { type JsonObject, readJsonObject } from "../../wire/json";
import { type Result, ok, refuse } from "../../wire/result";
import type { VaultKeys } from "./keys/vault-keys";
import { revokeRecord } from "./kms/records";
import { type BareRecord, withoutCredential } from "./state/records";
import type { VaultState } from "./state/vault-state";

/** Name of the socket in the vault's state folder. */
export const ADMIN_SOCKET = "admin.sock";

/** Longest line of either side, in bytes. */
export const MAX_ADMIN_LINE = 64 * 1024;

/** What administration works on. */
export interface AdminParts {
  readonly keys: VaultKeys;
  readonly state: VaultState;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
}

/** An agent key as the operator of the signer sees it: nothing that signs, and no hash of a credential. */
export interface ListedAgentKey extends BareRecord {
  /** Unix seconds; absent where there is no credential. */
  readonly credentialExpiresAt?: number;
}

type Command = (parts: AdminParts, request: JsonObject) => Promise<Result<unknown>> | Result<unknown>;

/** Everything that administration may do. None gives a secret out, and none signs. */
const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ["rotate-credential-secret", rotateCredentialSecret],
  ["credential-secret-status", ({ keys }) => ok({ secrets: keys.tokenSecrets() })],
  ["list-agent-keys", listAgentKeys],
  ["revoke-agent-key", revokeAgentKey],
  ["prepare-epoch", async ({ keys }) => ok(await keys.prepareEpoch())],
]);

/**
 * The second way into the vault, for who administers this host: a Unix socket of mode 0600 in the vault's own folder,
 * which the front cannot open where it runs as another user. One JSON object a line, answered by one a line:
 * `{ "ok": true, "value": … }` or `{ "ok": false, "failure": { "code", "detail" } }`. @see services note 4.3
 * @throws Error where the folder is somebody else's, or others may write to it
 */
export async function serveAdmin(parts: AdminParts, stateDir: string): Promise<{ close(): Promise<void> }> {
  checkFolder(stateDir);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    answerLines(parts, socket);
  });
  await listenPrivately(server, join(stateDir, ADMIN_SOCKET));
  return {
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => {
          resolve();
        });
      }),
  };
}

/** The socket is as private as the folder that it lies in. */
function checkFolder(dir: string): void {
  const { uid, mode } = lstatSync(dir);
  const me = process.getuid?.() ?? uid;
  if (uid !== me) throw new Error(`${dir} belongs to another user: the admin socket would be theirs to replace`);
  if ((mode & 0o022) !== 0) throw new Error(`${dir} can be written by others: chmod 700 it`);
}

/** One command at a time for each caller, in the order in which they came. */
function answerLines(parts: AdminParts, socket: Socket): void {
  let rest = Buffer.alloc(0);
  let last: Promise<void> = Promise.resolve();
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      const line = rest.subarray(0, end);
      rest = rest.subarray(end + 1);
      last = last.then(async () => {
        const result = await answer(parts, line);
        if (socket.writable) socket.write(`${JSON.stringify(result)}\n`);
      });
    }
    if (rest.length > MAX_ADMIN_LINE) socket.destroy();
  });
}

async function answer(parts: AdminParts, line: Uint8Array): Promise<Result<unknown>> {
  const read = readJsonObject(line);
  if (!read.ok) return read;
  const name = read.value["command"];
  const command = typeof name === "string" ? COMMANDS.get(name) : undefined;
  if (command === undefined) return refuse("route_not_found", "There is no such command.");
  try {
    const result = await command(parts, read.value);
    parts.log.info({ command: name, ok: result.ok }, "administration");
    return result;
  } catch (error) {
    parts.log.error({ err: error, command: name }, "administration failed");
    return refuse("internal_error", "The cause is in the vault's log.");
  }
}

async function rotateCredentialSecret({ keys, now }: AdminParts, request: JsonObject): Promise<Result<unknown>> {
  const { force } = request;
  if (typeof force !== "boolean") return refuse("request_malformed", "The member force must be true or false.");
  const next = await keys.rotateTokenSecret(now(), force);
  return ok({ secret: next, secrets: keys.tokenSecrets() });
}

function listAgentKeys({ state }: AdminParts): Result<unknown> {
  const keys = state.all().map((record): ListedAgentKey => {
    const { credentialExpiresAt } = record;
    const bare = withoutCredential(record);
    return credentialExpiresAt === undefined ? bare : { ...bare, credentialExpiresAt };
  });
  return ok({ keys });
}

/** As the operator's own revocation, without a passkey: for when the owner asks and cannot. */
async function revokeAgentKey({ state, now }: AdminParts, request: JsonObject): Promise<Result<unknown>> {
  const { keyId } = request;
  if (typeof keyId !== "string") return refuse("request_malformed", "The member keyId must be a string.");
  if (state.agentKey(keyId) === undefined) return refuse("agent_key_not_found", "There is no such agent key.");
  const revoked = await revokeRecord(state, keyId, now());
  return ok({ keyId, revokedAt: revoked.revokedAt });
}
