import { lstatSync } from "node:fs";
import { connect } from "node:net";

import { MAX_ADMIN_LINE } from "../../offchain/signer/vault/admin";
import { type JsonObject, isJsonObject, readJsonObject } from "../../offchain/wire/json";
import { isProblemCode } from "../../offchain/wire/problem";
import { type Result, ok, refuse } from "../../offchain/wire/result";

const DEADLINE_MS = 30_000;

/** One command and its answer over the vault's admin socket, which must be this user's own (or root asks). */
export function askAdmin(path: string, request: JsonObject): Promise<Result<unknown>> {
  const stat = lstatSync(path);
  const me = process.getuid?.() ?? stat.uid;
  if (!stat.isSocket()) return Promise.resolve(refuse("caller_not_allowed", `${path} is not a socket.`));
  if (me !== 0 && stat.uid !== me) {
    return Promise.resolve(refuse("caller_not_allowed", `${path} belongs to another user: run this as that user.`));
  }
  return new Promise((resolve) => {
    const socket = connect(path);
    const chunks: Buffer[] = [];
    const done = (result: Result<unknown>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => {
      done(refuse("signer_unavailable", "The vault did not answer in time."));
    }, DEADLINE_MS);
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (chunk.includes(0x0a)) done(readAnswer(Buffer.concat(chunks)));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ECONNREFUSED" ? "No vault listens there" : "The socket cannot be opened";
      done(refuse("signer_unavailable", `${why} (${error.code ?? "no code"}): is the vault running?`));
    });
    socket.on("close", () => {
      done(refuse("signer_unavailable", "The vault hung up: its log says why."));
    });
  });
}

/** A line of the vault; numbers of a list may be many, so its own limit does not hold here. */
function readAnswer(line: Buffer): Result<unknown> {
  const read = readJsonObject(line);
  const { ok: isDone, value, failure } = read.ok ? read.value : {};
  if (isDone === true) return ok(value);
  const { code, detail } = isJsonObject(failure) ? failure : {};
  if (isDone === false && isProblemCode(code)) return refuse(code, typeof detail === "string" ? detail : "");
  return refuse("internal_error", `The vault's answer is none (at most ${String(MAX_ADMIN_LINE)} bytes are asked).`);
}
