import { NonceManager, Wallet } from "ethers";

import { connectContracts, connectRpc } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { refusalFor } from "./send-operation";

/** Where the K3 epoch stands. */
export interface Epoch {
  readonly epoch: number;
  readonly commitment: Hex;
  /** False when this commitment was the current one already. */
  readonly changed: boolean;
  readonly transactionHash?: Hex;
}

/**
 * Makes the next K3 epoch current. The commitment comes from the vault, which has the key before the chain has its
 * commitment; governance is the owner of the counter. Repeating it with the current commitment changes nothing.
 */
export async function rotateEpoch(options: {
  readonly rpcUrl: string;
  readonly deployment: Deployment;
  /** Key of governance, where that is a single key. */
  readonly key: Hex;
  readonly commitment: Hex;
}): Promise<Result<Epoch>> {
  const { rpcUrl, deployment, key, commitment } = options;
  const provider = connectRpc(rpcUrl, deployment.chainId);
  try {
    const governance = new NonceManager(new Wallet(key, provider));
    const { k3EpochCounter } = connectContracts(deployment, governance);
    const current = await k3EpochCounter.currentEpoch();
    if ((await k3EpochCounter.commitmentOf(current)) === commitment) {
      return ok({ epoch: Number(current), commitment, changed: false });
    }
    // simulated first, so that a refusal comes with the contract's own error
    await k3EpochCounter.advanceEpoch.staticCall(commitment);
    const receipt = await (await k3EpochCounter.advanceEpoch(commitment)).wait();
    if (receipt?.status !== 1) return refuse("chain_unavailable", "The transaction is not in a block yet.");
    return ok({
      epoch: Number(await k3EpochCounter.currentEpoch()),
      commitment,
      changed: true,
      transactionHash: receipt.hash as Hex,
    });
  } catch (error) {
    return refusalFor(error);
  } finally {
    provider.destroy();
  }
}
