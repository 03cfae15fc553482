import { formatEther, parseEther } from "ethers";

import { PAYMASTER_ACTS, type PaymasterAct, actOnPaymaster, paymasterStatus } from "../offchain/client/paymaster";
import { type Hex, isAddressHex } from "../offchain/wire/bytes";
import { NO_END } from "../offchain/wire/names";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, findPlace } from "./lib/operator-program";
import { type Values, orRefuse, required, runProgram, text } from "./lib/program";

const { network, rpc, stack, deployment, "key-file": keyFile } = OPERATOR_OPTIONS;

const USAGE = `npm run paymaster -- ACT [options]

What the paymaster's owner does: it pays for the operations that a sponsor key signs, within the budget of each account.

  status            deposit and stake; with --account also that account's budget
  budget            sets an account's budget: --account --amount [--window] [--until]; --amount 0 ends it
  add-sponsor       lets a key sign: --address
  remove-sponsor    ends its signing, signatures that are out included: --address
  deposit           adds to what can be paid: --amount
  withdraw          takes from it: --amount --to
  stake             adds stake, which bundlers ask for: --amount [--delay]
  unlock-stake      starts its delay
  withdraw-stake    takes it afterwards: --to

  --account ADDRESS   master account, deployed or not (register-master says which it will be)
  --amount COINS      in the chain's coin, decimal: 0.05
  --window SECONDS    length of a window, by default 86400
  --until SECONDS     Unix time after which nothing is paid, by default no end
  --delay SECONDS     between unlock-stake and withdraw-stake, by default 86400
  --to ADDRESS        who receives
  --address ADDRESS   of a sponsor key
  --network NAME      hardhat's localhost (default), heima, base, baseSepolia or custom
  --rpc URL           another RPC than the network's own
  --stack FILE        a local stack's .agentkeys/stack.json instead of --network
  --deployment FILE   addresses, by default deployments/<chainId>.json
  --key-file FILE     the owner's key, 0600 (otherwise DEPLOYER_KEY; a stack has its own)
  --json              one line of JSON instead of sentences`;

const DAY = 86_400;

const ACTS: Readonly<Record<string, (values: Values) => PaymasterAct>> = {
  budget: (values) =>
    PAYMASTER_ACTS.budget(
      address(values, "account"),
      amount(values),
      seconds(values, "window", DAY),
      seconds(values, "until", NO_END),
    ),
  "add-sponsor": (values) => PAYMASTER_ACTS.addSponsor(address(values, "address")),
  "remove-sponsor": (values) => PAYMASTER_ACTS.removeSponsor(address(values, "address")),
  deposit: (values) => PAYMASTER_ACTS.deposit(amount(values)),
  withdraw: (values) => PAYMASTER_ACTS.withdraw(address(values, "to"), amount(values)),
  stake: (values) => PAYMASTER_ACTS.stake(amount(values), seconds(values, "delay", DAY)),
  "unlock-stake": () => PAYMASTER_ACTS.unlockStake(),
  "withdraw-stake": (values) => PAYMASTER_ACTS.withdrawStake(address(values, "to")),
};

const [act = "", ...argv] = process.argv.slice(2);

void runProgram({
  usage: USAGE,
  options: {
    ...{ network, rpc, stack, deployment, "key-file": keyFile },
    ...Object.fromEntries(
      ["account", "amount", "window", "until", "delay", "to", "address"].map((name) => [
        name,
        { type: "string" as const },
      ]),
    ),
  },
  argv: act.startsWith("-") ? [act, ...argv] : argv,
  async run(values, voice) {
    const known = ACTS[act];
    if (known === undefined && act !== "status") {
      throw new UsageError(`the act is one of status, ${Object.keys(ACTS).join(", ")}`);
    }
    const chosen = known?.(values);
    const account = values["account"] === undefined ? undefined : address(values, "account");
    const place = await findPlace(values, chosen !== undefined);
    const { OperatorPaymaster } = place.deployment.contracts;
    voice.say(`OperatorPaymaster ${OperatorPaymaster} on chain ${place.deployment.chainId}.`);
    let sent: { readonly transactionHash?: Hex } = {};
    if (chosen !== undefined) {
      if (place.key === undefined) throw new UsageError("The owner's key is needed: --key-file FILE or DEPLOYER_KEY.");
      sent = orRefuse(await actOnPaymaster({ ...place, key: place.key }, chosen));
    }
    const { paymaster, budget } = orRefuse(await paymasterStatus(place, account));
    const { deposit, stake, isStaked, unstakeDelay } = paymaster;
    const stakeWords = isStaked ? `locked, delay ${unstakeDelay} s` : "not locked: bundlers will not serve it";
    voice.finish({ ok: true, ...sent, ...plain({ ...paymaster, ...(budget === undefined ? {} : { budget }) }) }, [
      `  deposit  ${formatEther(deposit)}`,
      `  stake    ${formatEther(stake)} (${stakeWords})`,
      ...(budget === undefined
        ? []
        : [
            `  budget   ${formatEther(budget.perWindow)} per ${budget.windowSeconds} s, ${formatEther(budget.left)} left now`,
          ]),
    ]);
  },
});

function address(values: Values, name: string): Hex {
  const value = required(values, name).toLowerCase();
  if (!isAddressHex(value)) throw new UsageError(`--${name} is not an address`);
  return value;
}

function amount(values: Values): bigint {
  const value = required(values, "amount");
  if (!/^\d+(\.\d{1,18})?$/.test(value)) throw new UsageError("--amount is a decimal number of coins");
  return parseEther(value);
}

function seconds(values: Values, name: string, usual: number): number {
  const value = text(values, name);
  if (value === undefined) return usual;
  if (!/^\d{1,13}$/.test(value)) throw new UsageError(`--${name} is a whole number of seconds`);
  return Number(value);
}

/** Wei as decimal text: JSON has no numbers of that size. */
function plain(value: object): Record<string, unknown> {
  const text = JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? String(member) : member));
  return JSON.parse(text) as Record<string, unknown>;
}
