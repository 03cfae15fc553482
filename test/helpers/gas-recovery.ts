import { testPasskey } from "./account";
import { type GasRow, executionGas } from "./gas-registry";
import { RecoveryWorld } from "./recovery";

/** A recovery by 2 of 3 guardians that are keys, to one new passkey, of an account with an operator. */
export async function recoveryGasRows(): Promise<readonly GasRow[]> {
  const world = await RecoveryWorld.make();
  const next = [testPasskey("gas 4")];
  const start = await executionGas(await world.start(next));
  const finish = await executionGas(await world.finish(next));
  return [
    { name: "recovery.start", gas: start },
    { name: "recovery.finish", gas: finish },
    { name: "recovery.start.finish", gas: start + finish },
  ];
}
