import type { Duplex } from "node:stream";

import { isProblemCode } from "../../wire/problem";
import { type Failure, type Result, ok, refuse } from "../../wire/result";
import { type PipeAnswer, type PipeRequest, framed } from "../pipe";

const DEADLINE_MS = 8_000;
const MAX_IN_FLIGHT = 1_000;

/** Hands requests to the vault as they came, and its answers back. */
export interface VaultClient {
  /** `signer_unavailable` when the vault does not answer. */
  ask(
    route: string,
    caller: string,
    body: Buffer,
    headers?: NonNullable<PipeRequest["headers"]>,
  ): Promise<Result<unknown>>;
}

interface Waiting {
  readonly resolve: (result: Result<unknown>) => void;
  readonly timer: NodeJS.Timeout;
}

/** A client over the inherited pipe; `onBroken` is called once when the vault is gone. */
export function vaultClient(pipe: Duplex, onBroken: (why: string) => void): VaultClient {
  const waiting = new Map<number, Waiting>();
  let next = 0;
  let isBroken = false;
  const send = framed(
    pipe,
    (frame) => {
      const answer = (frame ?? {}) as PipeAnswer;
      const one = waiting.get(answer.id);
      if (one === undefined) return;
      waiting.delete(answer.id);
      clearTimeout(one.timer);
      one.resolve(answer.ok ? ok(answer.value) : readFailure(answer.failure));
    },
    (why) => {
      if (isBroken) return;
      isBroken = true;
      for (const one of waiting.values()) {
        clearTimeout(one.timer);
        one.resolve(unavailable());
      }
      waiting.clear();
      onBroken(why);
    },
  );
  return {
    ask(route, caller, body, headers) {
      if (isBroken || waiting.size >= MAX_IN_FLIGHT) return Promise.resolve(unavailable());
      const id = (next += 1);
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          waiting.delete(id);
          resolve(unavailable());
        }, DEADLINE_MS);
        waiting.set(id, { resolve, timer });
        send({ id, route, caller, body: body.toString("base64"), ...(headers === undefined ? {} : { headers }) });
      });
    },
  };
}

function readFailure(failure: unknown): Result<never> {
  const { code } = (failure ?? {}) as Partial<Failure>;
  return isProblemCode(code) ? { ok: false, failure: failure as Failure } : unavailable();
}

function unavailable(): Result<never> {
  return refuse("signer_unavailable", "The vault did not answer.");
}
