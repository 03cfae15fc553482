import "@nomicfoundation/hardhat-toolbox";
import { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } from "hardhat/builtin-tasks/task-names";
import { type HardhatUserConfig, subtask } from "hardhat/config";

import { solcFromNpm } from "./scripts/solc-from-npm";

const SOLC = "0.8.30";

// No compiler is downloaded: the pinned `solc` npm package is the compiler.
subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD).setAction((args: { solcVersion: string }) =>
  Promise.resolve(solcFromNpm(args.solcVersion)),
);

/** `osaka` has the P-256 precompile of EIP-7951, `prague` RIP-7212's (at Heima's price), `cancun` none. */
const hardfork = process.env["HARDHAT_HARDFORK"] ?? "osaka";

/** The funded key that deploys and relays on a real network; never needed on `hardhat` and `localhost`. */
const keyFile = process.env["DEPLOYER_KEY"];
const accounts = keyFile === undefined ? [] : [keyFile];

const config: HardhatUserConfig = {
  solidity: {
    compilers: [
      { version: SOLC, settings: { evmVersion: "cancun", viaIR: true, optimizer: { enabled: true, runs: 200 } } },
    ],
    overrides: {
      // nothing but arithmetic in one loop: for many runs its constants stay whole, and without the IR fewer operands move
      "contracts/account/P256Verifier.sol": {
        version: SOLC,
        settings: { evmVersion: "cancun", viaIR: false, optimizer: { enabled: true, runs: 1_000_000 } },
      },
    },
  },
  networks: {
    hardhat: { hardfork, enableRip7212: hardfork === "prague" },
    localhost: { url: process.env["CHAIN_RPC_URL"] ?? "http://127.0.0.1:8545" },
    heima: {
      url: process.env["HEIMA_RPC_URL"] ?? "https://rpc.heima-parachain.heima.network",
      chainId: 212013,
      accounts,
    },
    base: { url: process.env["BASE_RPC_URL"] ?? "https://mainnet.base.org", chainId: 8453, accounts },
    baseSepolia: { url: process.env["BASE_SEPOLIA_RPC_URL"] ?? "https://sepolia.base.org", chainId: 84532, accounts },
    custom: { url: process.env["CUSTOM_RPC_URL"] ?? "http://127.0.0.1:8545", accounts },
  },
  paths: { tests: "test/contracts" },
  typechain: { outDir: "typechain-types", target: "ethers-v6" },
  etherscan: { apiKey: process.env["ETHERSCAN_API_KEY"] ?? "" },
  gasReporter: { enabled: process.env["REPORT_GAS"] === "true", offline: true, noColors: true },
  mocha: { timeout: 120_000 },
};

export default config;
