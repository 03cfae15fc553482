import { type EIP1193Provider } from "@nomicfoundation/ignition-core";
import { type JsonRpcProvider, type TransactionLike, Wallet } from "ethers";

/** The fields of `eth_sendTransaction` that Ignition fills in. */
interface TransactionRequest {
  readonly to?: string;
  readonly data?: string;
  readonly value?: string;
  readonly nonce: string;
  readonly gas: string;
  readonly gasPrice?: string;
  readonly maxFeePerGas?: string;
  readonly maxPriorityFeePerGas?: string;
}

/** An EIP-1193 provider over a JSON-RPC node that signs with a key of ours where there is one. */
export interface SigningProvider extends EIP1193Provider {
  /** The accounts that may be the sender. */
  readonly accounts: readonly string[];
}

/** Signs transactions with `key`; without one, leaves it to the node's own unlocked accounts (a development node). */
export async function signingProvider(
  provider: JsonRpcProvider,
  chainId: number,
  key: string | undefined,
): Promise<SigningProvider> {
  if (key === undefined) {
    const accounts = (await provider.send("eth_accounts", [])) as string[];
    return { accounts, request: ({ method, params }) => provider.send(method, (params ?? []) as unknown[]) };
  }
  const wallet = new Wallet(key);
  return {
    accounts: [wallet.address],
    async request({ method, params }) {
      const list = (params ?? []) as unknown[];
      if (method === "eth_accounts") return [wallet.address];
      if (method !== "eth_sendTransaction") return (await provider.send(method, list)) as unknown;
      const signed = await wallet.signTransaction(transaction(list[0] as TransactionRequest, chainId));
      return (await provider.send("eth_sendRawTransaction", [signed])) as unknown;
    },
  };
}

function transaction(request: TransactionRequest, chainId: number): TransactionLike {
  const { to, data, value, nonce, gas, gasPrice, maxFeePerGas, maxPriorityFeePerGas } = request;
  const fees =
    maxFeePerGas === undefined
      ? { type: 0, gasPrice: gasPrice ?? null }
      : { type: 2, maxFeePerGas, maxPriorityFeePerGas: maxPriorityFeePerGas ?? 0 };
  return {
    chainId,
    to: to ?? null,
    data: data ?? "0x",
    value: value ?? 0,
    nonce: Number(nonce),
    gasLimit: gas,
    ...fees,
  };
}
