import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { type JsonRpcProvider, getBytes } from "ethers";

import type { Deployment } from "../../offchain/chain/deployment";
import { ENTRY_POINT, type PackedUserOperation, entryPointAt } from "../../offchain/chain/entry-point";
import { packTwo, userOperationHash } from "../../offchain/client/user-operation";
import type { Hex } from "../../offchain/wire/bytes";

/** The least ERC-7769 bundler: prices calldata, refuses what the EntryPoint refuses, sends, and gives receipts. */
export interface Bundler {
  readonly url: string;
  readonly asked: readonly string[];
  stop(): Promise<void>;
}

type Unpacked = Readonly<Record<string, Hex | undefined>>;

/** Starts one on a free port, which sends from the node's second account. */
export async function startBundler(provider: JsonRpcProvider, deployment: Deployment): Promise<Bundler> {
  const sender = await provider.getSigner(1);
  const entryPoint = entryPointAt(deployment.entryPoint, sender);
  const asked: string[] = [];
  const receipts = new Map<string, object>();

  async function answer(method: string, params: readonly unknown[]): Promise<unknown> {
    asked.push(method);
    if (method === "eth_getUserOperationReceipt") return receipts.get(params[0] as string) ?? null;
    const operation = pack(params[0] as Unpacked);
    if (params[1] !== deployment.entryPoint) throw new Error("another EntryPoint");
    if (method === "eth_estimateUserOperationGas") {
      if (operation.signature.length < 600) throw new Error("an estimate needs a well-formed signature");
      return { preVerificationGas: `0x${(21_000 + 16 * getBytes(operation.callData).length).toString(16)}` };
    }
    if (method !== "eth_sendUserOperation") throw new Error(`no method ${method}`);
    if (operation.gasFees === packTwo(0n, 0n)) throw new Error("no fee");
    const handleOps = entryPoint.getFunction("handleOps");
    const options = { gasLimit: 5_000_000 };
    await handleOps.staticCall([operation], sender.address, options);
    const receipt = await (await handleOps.send([operation], sender.address, options)).wait();
    const hash = userOperationHash(operation, deployment);
    const event = receipt?.logs
      .flatMap((log) => ENTRY_POINT.parseLog(log) ?? [])
      .find(({ name, args }) => name === "UserOperationEvent" && args["userOpHash"] === hash);
    receipts.set(hash, {
      success: event?.args["success"] as boolean,
      actualGasUsed: `0x${(event?.args["actualGasUsed"] as bigint).toString(16)}`,
      receipt: { transactionHash: receipt?.hash },
    });
    return hash;
  }

  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString()) as {
        id: number;
        method: string;
        params: unknown[];
      };
      const body = await answer(method, params).then(
        (result) => ({ result }),
        (error: unknown) => ({ error: { code: -32500, message: (error as Error).message } }),
      );
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...body }));
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function paymasterAndData({ paymaster, ...operation }: Unpacked): Hex {
  if (paymaster === undefined) return "0x";
  const { paymasterVerificationGasLimit = "0x", paymasterPostOpGasLimit = "0x", paymasterData = "0x" } = operation;
  const limits = packTwo(BigInt(paymasterVerificationGasLimit), BigInt(paymasterPostOpGasLimit));
  return `${paymaster}${limits.slice(2)}${paymasterData.slice(2)}`;
}

function pack(operation: Unpacked): PackedUserOperation {
  const member = (name: string): Hex => {
    const value = operation[name];
    if (value === undefined) throw new Error(`no ${name}`);
    return value;
  };
  const { factory, factoryData } = operation;
  return {
    sender: member("sender"),
    nonce: BigInt(member("nonce")),
    initCode: factory === undefined ? "0x" : `${factory}${(factoryData ?? "0x").slice(2)}`,
    callData: member("callData"),
    accountGasLimits: packTwo(BigInt(member("verificationGasLimit")), BigInt(member("callGasLimit"))),
    preVerificationGas: BigInt(member("preVerificationGas")),
    gasFees: packTwo(BigInt(member("maxPriorityFeePerGas")), BigInt(member("maxFeePerGas"))),
    paymasterAndData: paymasterAndData(operation),
    signature: member("signature"),
  };
}
