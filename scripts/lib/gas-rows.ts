import { accountGasRows, heimaGasRows } from "../../test/helpers/gas-account";
import { recoveryGasRows } from "../../test/helpers/gas-recovery";
import { EVM } from "../../test/helpers/account";
import { paymasterGasRows } from "../../test/helpers/gas-paymaster";
import { registryGasRows } from "../../test/helpers/gas-registry";
import { sessionGasRows } from "../../test/helpers/gas-session";

/** Run by Hardhat once for each EVM; prints one JSON line per row. */
async function main(): Promise<void> {
  const rows = [
    ...(await accountGasRows()),
    ...(EVM === "prague" ? await heimaGasRows() : []),
    ...(EVM === "osaka"
      ? [
          ...(await registryGasRows()),
          ...(await recoveryGasRows()),
          ...(await sessionGasRows()),
          ...(await paymasterGasRows()),
        ]
      : []),
  ];
  for (const { name, gas } of rows) console.log(JSON.stringify({ name, evm: EVM, gas }));
}

void main();
