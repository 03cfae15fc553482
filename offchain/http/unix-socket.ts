import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { type Server, connect } from "node:net";
import { dirname } from "node:path";

/** Binds a server to a Unix socket that only this user can open from the moment it exists, in a folder of mode 0700. */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  await removeStale(path);
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
}

/** The socket of a process that is gone is replaced; that of a live one, or anything else, is refused. */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`${path} is not a socket: something else was put in its place`);
  const isLive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    // only nobody's answer is a refusal: a full backlog (EAGAIN) belongs to a process that lives
    probe.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code !== "ECONNREFUSED");
    });
  });
  if (isLive) throw new Error(`${path} is in use by another process`);
  rmSync(path);
}
