import { chmodSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { TlsPaths } from "../../offchain/http/tls-files";
import type { TlsIdentity } from "./certificates";

/** Certificate files of one service in a folder, and the ways in which an operator replaces them. */
export interface TlsFolder {
  readonly paths: Required<TlsPaths>;
  /** Each file whole, by a rename; the key first, as `npm run certs` does. */
  replace(identity: Partial<TlsIdentity>): void;
  /** Writes over one file in place, as it stands. */
  overwrite(file: keyof TlsPaths, text: string): void;
  /** The key file's permissions. */
  setKeyMode(mode: number): void;
}

/** Writes them into a folder. */
export function tlsFolder(dir: string, identity: TlsIdentity): TlsFolder {
  const paths = { ca: join(dir, "ca.pem"), cert: join(dir, "cert.pem"), key: join(dir, "key.pem") };
  const write = (file: keyof TlsPaths, text: string): void => {
    writeFileSync(`${paths[file]}.tmp`, text, { mode: file === "key" ? 0o600 : 0o644 });
    renameSync(`${paths[file]}.tmp`, paths[file]);
  };
  const folder: TlsFolder = {
    paths,
    replace(next) {
      for (const file of ["key", "cert", "ca"] as const) {
        const text = next[file];
        if (text !== undefined) write(file, text);
      }
    },
    overwrite(file, text) {
      writeFileSync(paths[file], text);
    },
    setKeyMode(mode) {
      chmodSync(paths.key, mode);
    },
  };
  folder.replace(identity);
  return folder;
}
