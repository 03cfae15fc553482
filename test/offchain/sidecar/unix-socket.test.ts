import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";

import { expect } from "chai";

import { listenOnSocket } from "../../../offchain/sidecar/unix-socket";
import { start } from "../../helpers/process";
import { call } from "../../helpers/sidecar";
import { temporaryFolders } from "../../helpers/temporary-folder";

const folders = temporaryFolders();
const mode = (path: string): number => lstatSync(path).mode & 0o777;

describe("sidecar: Unix socket", () => {
  const servers: Server[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((one) => new Promise((done) => one.close(done))));
  });
  after(() => {
    folders.removeAll();
  });

  async function listen(path: string): Promise<void> {
    servers.push(await listenOnSocket(path, (_request, response) => response.end("here")));
  }

  async function refusal(path: string): Promise<unknown> {
    return listenOnSocket(path, () => undefined).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  it("is 0600 from the moment that it exists, in a folder of mode 0700, and the umask is what it was", async () => {
    const path = join(folders.make(), "run", "sidecar.sock");
    const before = process.umask(0o022);
    let isOpen = false;
    const listening = listen(path).then(() => {
      isOpen = true;
    });
    // between the turns of one microtask queue nothing else runs: the first look sees it as it was made
    let first: number | undefined;
    for (let i = 0; i < 1_000 && first === undefined; i += 1) {
      await Promise.resolve();
      if (existsSync(path)) first = mode(path);
    }
    expect([first, isOpen]).to.deep.equal([0o600, false]);
    await listening;
    expect(mode(path)).to.equal(0o600);
    expect(mode(join(path, ".."))).to.equal(0o700);
    expect(process.umask(before)).to.equal(0o022);
    expect((await call({ socketPath: path, path: "/" })).body).to.equal("here");
  });

  it("replaces the socket of a process that was killed", async () => {
    const path = join(folders.make(), "sidecar.sock");
    const code = `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const other = await start(["-e", code], { until: /up/ });
    await other.stop("SIGKILL");
    expect(lstatSync(path).isSocket()).to.equal(true);
    await listen(path);
    expect((await call({ socketPath: path, path: "/" })).body).to.equal("here");
    expect(mode(path)).to.equal(0o600);
  });

  it("leaves the socket of a living process alone", async () => {
    const path = join(folders.make(), "sidecar.sock");
    await listen(path);
    expect(await refusal(path)).to.be.an("error");
    expect((await call({ socketPath: path, path: "/" })).body).to.equal("here");
  });

  it("leaves a living process alone that does not come to accept", async () => {
    const path = join(folders.make(), "sidecar.sock");
    const code = `require("net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
      console.log("up");
      process.nextTick(() => { for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); });
    })`;
    const other = await start(["-e", code], { until: /up/ });
    try {
      const inode = lstatSync(path).ino;
      // its backlog fills up: from then on a probe gets EAGAIN
      for (let i = 0; i < 4; i += 1) expect(await refusal(path)).to.be.an("error");
      expect(lstatSync(path).ino).to.equal(inode);
    } finally {
      await other.stop("SIGKILL");
    }
  });

  for (const [what, make] of Object.entries({
    "a file": (path: string) => {
      writeFileSync(path, "mine");
    },
    "a folder": (path: string) => {
      mkdirSync(path);
    },
    "a symbolic link": (path: string) => {
      symlinkSync("/nowhere", path);
    },
  })) {
    it(`does not remove ${what} that was put in its place`, async () => {
      const path = join(folders.make(), "sidecar.sock");
      make(path);
      const before = lstatSync(path).ino;
      expect(await refusal(path)).to.be.an("error");
      expect(lstatSync(path).ino).to.equal(before);
    });
  }

  it("says what is wrong where the folder cannot be written", async () => {
    const dir = folders.make();
    writeFileSync(join(dir, "file"), "");
    chmodSync(join(dir, "file"), 0o600);
    const error = (await refusal(join(dir, "file", "sidecar.sock"))) as NodeJS.ErrnoException;
    expect(["ENOTDIR", "EEXIST"]).to.include(error.code);
  });
});
