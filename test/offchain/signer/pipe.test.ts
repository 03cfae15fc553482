import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";

import { expect } from "chai";
import fc from "fast-check";

import { vaultClient } from "../../../offchain/signer/front/vault-client";
import { framed } from "../../../offchain/signer/pipe";

const MAX = 512 * 1024;

/** One end of a pipe whose other end the test holds. */
class End extends Duplex {
  readonly written: Buffer[] = [];

  override _read(): void {
    // the test pushes
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

/** A frame as the format says, not as the code does. */
function frameOf(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

/** An end that is listened to, and everything it heard. */
function listening(): { end: End; frames: unknown[]; broken: string[]; send: (frame: object) => boolean } {
  const [end, frames, broken]: [End, unknown[], string[]] = [new End(), [], []];
  const send = framed(
    end,
    (frame) => frames.push(frame),
    (why) => broken.push(why),
  );
  return { end, frames, broken, send };
}

/** Bytes in pieces that end at these places. */
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set([0, ...at.map((one) => one % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

async function push(end: End, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    end.push(piece);
    await turn();
  }
}

describe("signer: frames on the pipe between front and vault", () => {
  it("arrive whole and in order however they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue({ maxDepth: 4 }), { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        async (values, at) => {
          const { end, frames, broken } = listening();
          await push(end, cut(Buffer.concat(values.map((one) => frameOf(JSON.stringify(one)))), at));
          expect(frames).to.deep.equal(values.map((one) => JSON.parse(JSON.stringify(one)) as unknown));
          expect(broken).to.deep.equal([]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("byte by byte, and all at once", async () => {
    const values = [{ a: "ä€😀" }, [], "x", 0, null, { b: { c: [1, 2, 3] } }];
    const bytes = Buffer.concat(values.map((one) => frameOf(JSON.stringify(one))));
    for (const pieces of [Array.from(bytes, (one) => Buffer.of(one)), [bytes]]) {
      const { end, frames } = listening();
      await push(end, pieces);
      expect(frames).to.deep.equal(values);
    }
  });

  it("are written as the format says", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 5 }), async (values) => {
        const { end, send } = listening();
        for (const one of values) send(one);
        await turn();
        expect(
          Buffer.concat(end.written).equals(Buffer.concat(values.map((one) => frameOf(JSON.stringify(one))))),
        ).to.equal(true);
      }),
    );
  });

  it("the longest is read; one byte more ends the pipe before a byte of it came", async () => {
    const longest = JSON.stringify("x".repeat(MAX - 2));
    const { end, frames, broken } = listening();
    await push(end, [frameOf(longest)]);
    expect(frames).to.have.length(1);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(MAX + 1);
    await push(end, [head]);
    await turn();
    expect(broken[0]).to.equal("a frame is too long");
    expect(end.destroyed).to.equal(true);
    expect(frames).to.have.length(1);
  });

  it("a length of all ones asks for nothing", async () => {
    const { end, broken } = listening();
    await push(end, [Buffer.alloc(4, 0xff)]);
    expect(broken[0]).to.equal("a frame is too long");
  });

  it("what is no JSON ends the pipe; what came before it counts, what follows does not", async () => {
    for (const text of ["", "{", "{}x", "undefined", "'a'", "\ufeff{}", "NaN"]) {
      const { end, frames, broken } = listening();
      await push(end, [Buffer.concat([frameOf('{"n":1}'), frameOf(text), frameOf('{"n":2}')])]);
      await turn();
      expect(frames, text).to.deep.equal([{ n: 1 }]);
      expect(broken[0], text).to.equal("a frame is not JSON");
      expect(end.destroyed, text).to.equal(true);
    }
  });

  it("an end that closes or fails says why", async () => {
    const closed = listening();
    closed.end.destroy();
    const failed = listening();
    failed.end.destroy(new Error("ECONNRESET"));
    await turn();
    await turn();
    expect(closed.broken).to.deep.equal(["the pipe is closed"]);
    expect(failed.broken[0]).to.equal("ECONNRESET");
  });

  describe("the front's side", () => {
    const codeOf = (result: { ok: boolean; failure?: { code: string } }): string =>
      result.ok ? "ok" : (result.failure?.code ?? "?");
    const idsIn = (end: End): number[] =>
      end.written.map((one) => (JSON.parse(one.subarray(4).toString()) as { id: number }).id);

    function client(): { end: End; vault: ReturnType<typeof vaultClient>; broken: string[] } {
      const [end, broken]: [End, string[]] = [new End(), []];
      return { end, broken, vault: vaultClient(end, (why) => broken.push(why)) };
    }

    it("hands over route, caller and body as they came, and gives each asker its own answer in any order", async () => {
      const { end, vault } = client();
      const body = Buffer.from([0, 255, 10, 13]);
      const asked = ["a", "b", "c"].map((caller) => vault.ask("POST /x", caller, body));
      await turn();
      const sent = end.written.map((one) => JSON.parse(one.subarray(4).toString()) as Record<string, unknown>);
      expect(sent.map((one) => one["caller"])).to.deep.equal(["a", "b", "c"]);
      for (const one of sent) {
        expect(one["route"]).to.equal("POST /x");
        expect(Buffer.from(String(one["body"]), "base64").equals(body)).to.equal(true);
      }
      const ids = idsIn(end);
      for (const i of [2, 0, 1]) await push(end, [frameOf(JSON.stringify({ id: ids[i], ok: true, value: i }))]);
      const answers = await Promise.all(asked);
      expect(answers).to.deep.equal([0, 1, 2].map((value) => ({ ok: true, value })));
    });

    it("takes no heed of an answer that nobody waits for, or that is none", async () => {
      const { end, vault, broken } = client();
      const asked = vault.ask("GET /x", "a", Buffer.alloc(0));
      await turn();
      const [id] = idsIn(end);
      for (const text of ["null", "5", "{}", '{"id":null,"ok":true}', '{"id":99,"ok":true,"value":1}', "[]"]) {
        await push(end, [frameOf(text)]);
      }
      await push(end, [frameOf(JSON.stringify({ id, ok: true, value: "mine" }))]);
      expect(await asked).to.deep.equal({ ok: true, value: "mine" });
      expect(broken).to.deep.equal([]);
    });

    it("a refusal passes as it is; one that is none is signer_unavailable", async () => {
      const { end, vault } = client();
      const failures = [{ code: "proof_invalid", detail: "x", reason: "replayed" }, { code: "yes" }, null, undefined];
      const asked = failures.map(() => vault.ask("GET /x", "a", Buffer.alloc(0)));
      await turn();
      const ids = idsIn(end);
      for (const [i, failure] of failures.entries()) {
        await push(end, [frameOf(JSON.stringify({ id: ids[i], ok: false, failure }))]);
      }
      const answers = await Promise.all(asked);
      expect(answers[0]).to.deep.equal({ ok: false, failure: failures[0] });
      for (const one of answers.slice(1)) expect(codeOf(one)).to.equal("signer_unavailable");
    });

    it("a vault that went is signer_unavailable for who waits and for who comes, and is said once", async () => {
      const { end, vault, broken } = client();
      const asked = [1, 2, 3].map(() => vault.ask("GET /x", "a", Buffer.alloc(0)));
      end.destroy(new Error("gone"));
      for (const one of await Promise.all(asked)) expect(codeOf(one)).to.equal("signer_unavailable");
      expect(codeOf(await vault.ask("GET /x", "a", Buffer.alloc(0)))).to.equal("signer_unavailable");
      await turn();
      expect(broken).to.deep.equal(["gone"]);
    });

    it("no more than a thousand wait at once", async () => {
      const { end, vault } = client();
      const asked = Array.from({ length: 1_000 }, () => vault.ask("GET /x", "a", Buffer.alloc(0)));
      expect(codeOf(await vault.ask("GET /x", "a", Buffer.alloc(0)))).to.equal("signer_unavailable");
      await turn();
      const [first] = idsIn(end);
      await push(end, [frameOf(JSON.stringify({ id: first, ok: true }))]);
      const next = vault.ask("GET /x", "a", Buffer.alloc(0));
      await turn();
      expect(idsIn(end), "the place of one that was answered is free").to.have.length(1_001);
      end.destroy();
      expect(codeOf(await next)).to.equal("signer_unavailable");
      expect((await Promise.all(asked)).filter((one) => one.ok)).to.have.length(1);
    });
  });
});
