import { rotateEpoch } from "../offchain/client/governance";
import { isBytes32 } from "../offchain/wire/bytes";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, findPlace } from "./lib/operator-program";
import { orRefuse, required, runProgram } from "./lib/program";

const { network, rpc, stack, deployment, "key-file": keyFile } = OPERATOR_OPTIONS;

const USAGE = `npm run rotate-epoch -- --commitment HEX [options]

Makes the next K3 epoch current, at most once an hour. Draw the key first (the signer prints its commitment): without it
the vault answers nothing in the new epoch. Where governance is a multisig or timelock, it calls advanceEpoch itself.

  --commitment HEX    SHA-256("agentkeys-k3-commit" ‖ epoch ‖ K3), as the vault printed it
  --network NAME      hardhat's localhost (default), heima, base, baseSepolia or custom
  --rpc URL           another RPC than the network's own
  --stack FILE        a local stack's .agentkeys/stack.json instead of --network
  --deployment FILE   addresses, by default deployments/<chainId>.json
  --key-file FILE     governance's key, 0600 (otherwise DEPLOYER_KEY; a stack has its own)
  --json              one line of JSON instead of sentences`;

void runProgram({
  usage: USAGE,
  options: { network, rpc, stack, deployment, "key-file": keyFile, commitment: { type: "string" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const commitment = required(values, "commitment");
    if (!isBytes32(commitment)) throw new UsageError("--commitment is 0x and 64 lowercase hex digits");
    const place = await findPlace(values);
    if (place.key === undefined) throw new UsageError("Governance's key is needed: --key-file FILE or DEPLOYER_KEY.");
    voice.say(`K3EpochCounter ${place.deployment.contracts.K3EpochCounter} on chain ${place.deployment.chainId}.`);
    const done = orRefuse(
      await rotateEpoch({ rpcUrl: place.rpcUrl, deployment: place.deployment, key: place.key, commitment }),
    );
    voice.finish({ ok: true, ...done }, [
      done.changed ? `Epoch ${done.epoch} is current.` : `Epoch ${done.epoch} has this commitment already.`,
    ]);
  },
});
