import { JsonRpcProvider } from "ethers";

import { start } from "./process";

/** A Hardhat node of its own, with Hardhat's funded development accounts. */
export interface HardhatNode {
  readonly url: string;
  /** Asks the node itself, past any proxy. */
  readonly provider: JsonRpcProvider;
  /** One block without transactions. */
  mine(): Promise<void>;
  stop(): Promise<void>;
}

/** Secret of Hardhat's first development account, published with Hardhat and worth nothing anywhere else. */
export const DEVELOPMENT_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/**
 * Starts a real node on a free port.
 * @param hardfork `osaka` has the P-256 precompile, `prague` RIP-7212's, `cancun` none
 */
export async function startHardhatNode(hardfork: "osaka" | "prague" | "cancun" = "osaka"): Promise<HardhatNode> {
  const hardhat = require.resolve("hardhat/internal/cli/bootstrap");
  const node = await start([hardhat, "node", "--hostname", "127.0.0.1", "--port", "0"], {
    until: /JSON-RPC server at/,
    env: { HARDHAT_HARDFORK: hardfork },
  });
  const url = /http:\/\/[^/\s]+/.exec(node.line)?.[0];
  if (url === undefined) throw new Error(node.line);
  const provider = new JsonRpcProvider(url, 31337, { staticNetwork: true, cacheTimeout: -1, batchMaxCount: 1 });
  return {
    url,
    provider,
    mine: async () => {
      await provider.send("evm_mine", []);
    },
    async stop() {
      provider.destroy();
      await node.stop();
    },
  };
}
