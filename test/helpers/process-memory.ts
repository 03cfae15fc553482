import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from "node:fs";

import { type Secrets, secretForms } from "./secret-forms";

/** Ids of every process that this one started, directly or not (Linux). */
export function descendants(id: number): readonly number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map((name) => [Number(name), parentOf(name)] as const);
  const below = (parent: number): number[] =>
    parents.flatMap(([child, ppid]) => (ppid === parent ? [child, ...below(child)] : []));
  return below(id);
}

/** Its arguments, as Linux shows them; undefined for one that has just ended. */
export function commandOf(id: number): string | undefined {
  try {
    return readFileSync(`/proc/${String(id)}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return undefined;
  }
}

/** Names of the secrets that lie, in any form, in the memory that a process may write to: what a core file would hold. */
export function secretsInMemory(id: number, secrets: Secrets): readonly string[] {
  const forms = Object.entries(secrets).map(([name, secret]) => [name, secretForms(secret)] as const);
  const longest = Math.max(...forms.flatMap(([, list]) => list.map((form) => form.length)));
  const found = new Set<string>();
  for (const piece of writableMemory(id, longest)) {
    for (const [name, list] of forms)
      if (!found.has(name) && list.some((form) => piece.includes(form))) found.add(name);
  }
  return [...found];
}

const PIECE = 16 * 1024 * 1024;

/** Every mapped page that is private and writable, in pieces that overlap by `overlap` bytes. */
function* writableMemory(id: number, overlap: number): Generator<Buffer> {
  const memory = openSync(`/proc/${String(id)}/mem`, "r");
  try {
    const buffer = Buffer.alloc(PIECE);
    for (const line of readFileSync(`/proc/${String(id)}/maps`, "utf8").split("\n")) {
      const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === "") continue;
      const end = BigInt(`0x${to}`);
      for (let at = BigInt(`0x${from}`); at < end; at += BigInt(PIECE - overlap)) {
        const size = Number(end - at < BigInt(PIECE) ? end - at : BigInt(PIECE));
        const read = readOrNothing(memory, buffer, size, at);
        if (read > 0) yield buffer.subarray(0, read);
      }
    }
  } finally {
    closeSync(memory);
  }
}

/** A mapping may end between its listing and its reading. */
function readOrNothing(memory: number, buffer: Buffer, size: number, at: bigint): number {
  try {
    return readSync(memory, buffer, 0, size, at);
  } catch {
    return 0;
  }
}

/** Ports on which a process listens, by its sockets. */
export function listeningPorts(id: number): readonly number[] {
  const own = new Set(
    readdirSync(`/proc/${String(id)}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${String(id)}/fd/${fd}`);
      } catch {
        return "";
      }
    }),
  );
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/${String(id)}/net/${table}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      // state 0A is LISTEN; field 9 the socket's inode
      .filter((fields) => fields[3] === "0A" && own.has(`socket:[${fields[9] ?? ""}]`))
      .map((fields) => parseInt(fields[1]?.split(":")[1] ?? "", 16)),
  );
}

/** Field 4 of /proc/<pid>/stat, behind the name in parentheses; undefined for one that has just ended. */
function parentOf(id: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}
