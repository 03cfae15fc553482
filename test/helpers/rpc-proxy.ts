import { type Server, createServer, type IncomingMessage } from "node:http";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** How a proxied RPC misbehaves; every member may be changed while it runs. */
export interface RpcFaults {
  /** Cuts every connection. */
  isDown: boolean;
  /** Milliseconds before each answer. */
  delayMs: number;
  /** Blocks behind the real head; newer ones are unknown to it, as to a node that has not got them yet. */
  lag: number;
  /** Other lags, taken in turn by request, as of a balancer with nodes at different heights. */
  balance: readonly number[];
  /** Height that stays the newest it knows, whatever is mined. */
  stuckAt: number | undefined;
  /** What `eth_chainId` answers instead. */
  chainId: number | undefined;
  /** Rewrites the data that an `eth_call` with this selector returned. */
  lie: { readonly selector: string; readonly rewrite: (answer: string) => string } | undefined;
  /** Answers these methods with a JSON-RPC error. */
  errors: Readonly<Record<string, number>>;
  /** HTTP statuses for the next requests, each used once. */
  statuses: number[];
}

/** A JSON-RPC server in front of a real node. */
export interface RpcProxy {
  readonly url: string;
  readonly faults: RpcFaults;
  /** How often each method was asked for. */
  readonly counts: ReadonlyMap<string, number>;
  resetCounts(): void;
  /** Back to an honest node. */
  heal(): void;
  stop(): Promise<void>;
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

const HONEST = {
  isDown: false,
  delayMs: 0,
  lag: 0,
  balance: [],
  stuckAt: undefined,
  chainId: undefined,
  lie: undefined,
  errors: {},
};

/** Starts a proxy on a free port, honest until told otherwise. */
export async function startRpcProxy(target: string): Promise<RpcProxy> {
  const faults: RpcFaults = { ...HONEST, statuses: [] };
  const counts = new Map<string, number>();
  const sockets = new Set<Socket>();
  let requests = 0;

  async function forward(method: string, params: readonly unknown[]): Promise<unknown> {
    const response = await fetch(target, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = (await response.json()) as { result?: unknown; error?: { code: number } };
    if (error !== undefined) throw new RpcFault(error.code);
    return result;
  }

  /** The newest height that the node behind this request pretends to have. */
  async function newest(): Promise<number> {
    const { balance, lag, stuckAt } = faults;
    const behind = balance[requests % Math.max(1, balance.length)] ?? lag;
    const height = Number(await forward("eth_blockNumber", [])) - behind;
    return Math.min(height, stuckAt ?? Infinity);
  }

  async function answer({ method, params }: Request): Promise<unknown> {
    const code = faults.errors[method];
    if (code !== undefined) throw new RpcFault(code);
    if (method === "eth_chainId" && faults.chainId !== undefined) return `0x${faults.chainId.toString(16)}`;
    const isHonest = faults.lag === 0 && faults.balance.length === 0 && faults.stuckAt === undefined;
    if (!isHonest && (method === "eth_getBlockByNumber" || method === "eth_blockNumber")) {
      const height = `0x${(await newest()).toString(16)}`;
      return method === "eth_blockNumber" ? height : forward(method, [height, params[1]]);
    }
    const hash = method === "eth_getBlockByHash" ? params[0] : blockHashOf(params.at(-1));
    if (!isHonest && hash !== undefined) {
      const block = (await forward("eth_getBlockByHash", [hash, false])) as { number: string } | null;
      if (block === null || Number(block.number) > (await newest())) {
        if (method === "eth_getBlockByHash") return null;
        throw new RpcFault(-32001);
      }
    }
    const result = await forward(method, params);
    const { lie } = faults;
    const data = (params[0] as { data?: string } | undefined)?.data;
    const isLie = method === "eth_call" && lie !== undefined && data?.startsWith(lie.selector) === true;
    return isLie && typeof result === "string" ? lie.rewrite(result) : result;
  }

  const server: Server = createServer((request, response) => {
    void (async () => {
      const asked = JSON.parse(await text(request)) as Request;
      counts.set(asked.method, (counts.get(asked.method) ?? 0) + 1);
      requests += 1;
      const status = faults.statuses.shift();
      if (faults.delayMs > 0) await sleep(faults.delayMs);
      if (faults.isDown) {
        request.socket.destroy();
        return;
      }
      if (status !== undefined) {
        response.writeHead(status).end("no");
        return;
      }
      const reply = await answer(asked).then(
        (result) => ({ result }),
        (error: unknown) => {
          if (error instanceof RpcFault) return { error: { code: error.code, message: "no" } };
          throw error;
        },
      );
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ jsonrpc: "2.0", id: asked.id, ...reply }));
    })().catch(() => {
      request.socket.destroy();
    });
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    counts,
    resetCounts() {
      counts.clear();
    },
    heal() {
      Object.assign(faults, HONEST, { statuses: [] });
    },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** Rewrites one 32-byte word of an `eth_call` answer. */
export function replaceWord(index: number, word: bigint): (answer: string) => string {
  const at = 2 + index * 64;
  return (answer) => answer.slice(0, at) + word.toString(16).padStart(64, "0") + answer.slice(at + 64);
}

class RpcFault extends Error {
  constructor(readonly code: number) {
    super(`JSON-RPC error ${code}`);
  }
}

function blockHashOf(parameter: unknown): string | undefined {
  return (parameter as { blockHash?: string } | null | undefined)?.blockHash;
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
