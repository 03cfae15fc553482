import { connectRpc } from "../../offchain/chain/connect";
import type { RecoveryChain } from "../../offchain/client/recovery-status";
import { keccakReady } from "../../offchain/wire/keccak";
import type { Place } from "./operator-program";

/** Connects to the chain of a place, acts, and lets go of it whatever happens. */
export async function withChain<T>(
  { rpcUrl, deployment }: Pick<Place, "rpcUrl" | "deployment">,
  act: (chain: RecoveryChain) => Promise<T>,
): Promise<T> {
  await keccakReady();
  const provider = connectRpc(rpcUrl, deployment.chainId);
  try {
    return await act({ provider, deployment });
  } finally {
    provider.destroy();
  }
}
