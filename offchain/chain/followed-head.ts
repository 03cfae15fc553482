import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { type Endpoint, type Head, type ReportedHead, shared } from "./head";

/** The head that decisions use, and the endpoints that serve it. */
export interface AgreedHead {
  readonly head: Head;
  readonly servers: readonly Endpoint[];
  /** `performance.now()` of the oldest question behind it. */
  readonly confirmedAt: number;
}

/** Follows the head of one chain through one or several endpoints. */
export interface FollowedHead {
  /** The last agreed head, however old its confirmation is. */
  current(): AgreedHead | undefined;
  /** Asks again, or joins a question under way; the reason, in words, when there is no agreed head. */
  confirm(): Promise<AgreedHead | string>;
  /** An endpoint that failed a read is asked last, or left aside, until it answers again. */
  suspect(endpoint: Endpoint): void;
  close(): void;
}

/** How long a laggard is waited for, in milliseconds. */
const LAGGARD_MS = 1_500;
const LAGGARD_STEP_MS = 100;

type Attempt = { readonly agreed: AgreedHead } | { readonly words: string; readonly isWorthWaiting: boolean };

/**
 * Heads never go back: a height below the highest ever agreed on is waited for and then refused, whichever endpoint
 * reports it. Another block at the same height is accepted, since that is what a re-organisation of one block is.
 *
 * Quorum 1 asks one endpoint and moves on to the next when it fails. A larger quorum asks all: the head is the highest
 * that any of them reports, and `quorum` of them must serve that very block.
 * @param pollMs between two questions in the background
 */
export function followHead(options: {
  readonly endpoints: readonly Endpoint[];
  readonly quorum: number;
  readonly pollMs: number;
  readonly onNewHead: (head: Head) => void;
}): FollowedHead {
  const { endpoints, quorum, onNewHead } = options;
  const suspects = new Set<Endpoint>();
  let current: AgreedHead | undefined;
  let floor = 0;
  let isClosed = false;

  async function report(endpoint: Endpoint): Promise<ReportedHead | string> {
    const answer = await endpoint.newest();
    if (typeof answer === "string") suspects.add(endpoint);
    else suspects.delete(endpoint);
    return answer;
  }

  async function askInTurn(): Promise<Attempt> {
    const words: string[] = [];
    let hasLaggard = false;
    const serving = current?.servers[0];
    const trusted = [...endpoints].sort((a, b) => rank(a) - rank(b));
    for (const endpoint of trusted) {
      const answer = await report(endpoint);
      if (typeof answer === "string") words.push(answer);
      else if (answer.head.number < floor) {
        hasLaggard = true;
        words.push(`RPC ${endpoint.index} is behind`);
      } else return { agreed: { head: answer.head, servers: [endpoint], confirmedAt: answer.askedAt } };
    }
    return { words: words.join("; "), isWorthWaiting: hasLaggard };

    function rank(endpoint: Endpoint): number {
      return suspects.has(endpoint) ? 2 : endpoint === serving ? 0 : 1;
    }
  }

  async function askAll(): Promise<Attempt> {
    const wereSuspect = new Set(suspects);
    const asked = endpoints.map((endpoint) => ({ endpoint, answer: report(endpoint) }));
    // one that failed before gets a moment, not the whole deadline, unless the quorum needs it
    let replies = await Promise.all(
      asked.map(async ({ endpoint, answer }) =>
        wereSuspect.has(endpoint) ? Promise.race([answer, sleep(LAGGARD_STEP_MS, LATE)]) : answer,
      ),
    );
    if (replies.filter(isReport).length < quorum) replies = await Promise.all(asked.map(({ answer }) => answer));
    const live = endpoints.flatMap((endpoint, i) => {
      const reply = replies[i];
      return reply !== undefined && isReport(reply) ? [{ endpoint, ...reply }] : [];
    });
    if (live.length < quorum) {
      const words = replies.flatMap((reply) => (isReport(reply) ? [] : [reply])).join("; ");
      return { words: `${live.length} of ${quorum} RPCs answer: ${words}`, isWorthWaiting: false };
    }
    const top = live.reduce((best, one) => (one.head.number > best.head.number ? one : best));
    if (top.head.number < floor) return { words: "every RPC is behind", isWorthWaiting: true };
    const serve = await Promise.all(
      live.map(async ({ endpoint, head }) =>
        head.number === top.head.number ? head.hash === top.head.hash : endpoint.has(top.head.hash),
      ),
    );
    const servers = live.filter((_, i) => serve[i] === true);
    if (live.some(({ head }) => head.number === top.head.number && head.hash !== top.head.hash)) {
      return { words: "the RPCs report different blocks at one height", isWorthWaiting: true };
    }
    if (servers.length < quorum) {
      return { words: `${servers.length} of ${quorum} RPCs serve the newest block`, isWorthWaiting: true };
    }
    const confirmedAt = Math.min(...servers.map(({ askedAt }) => askedAt));
    return { agreed: { head: top.head, servers: servers.map(({ endpoint }) => endpoint), confirmedAt } };
  }

  async function agree(): Promise<AgreedHead | string> {
    const until = performance.now() + LAGGARD_MS;
    for (;;) {
      const attempt = await (quorum === 1 ? askInTurn() : askAll());
      if ("agreed" in attempt) {
        const { agreed } = attempt;
        floor = agreed.head.number;
        const isNew = current?.head.hash !== agreed.head.hash;
        current = agreed;
        if (isNew) onNewHead(agreed.head);
        return agreed;
      }
      if (!attempt.isWorthWaiting || isClosed || performance.now() + LAGGARD_STEP_MS > until) return attempt.words;
      await sleep(LAGGARD_STEP_MS);
    }
  }

  const confirm = shared(agree);
  const timer = setInterval(() => void confirm(), options.pollMs);
  timer.unref();

  return {
    current: () => current,
    confirm,
    suspect: (endpoint) => suspects.add(endpoint),
    close() {
      isClosed = true;
      clearInterval(timer);
    },
  };
}

function isReport(reply: ReportedHead | string): reply is ReportedHead {
  return typeof reply !== "string";
}

const LATE = "an RPC that failed before has not answered yet";
