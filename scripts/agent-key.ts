import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { type AgentKeyHandle, agentKeysClient } from "../offchain/client/agent-keys";
import { deviceKeyAt } from "../offchain/client/device-key-file";
import { readPrivate, writePrivate } from "../offchain/client/private-file";
import { isAddressHex } from "../offchain/wire/bytes";
import { isJsonObject, readJsonObject } from "../offchain/wire/json";
import { isLabel } from "../offchain/wire/names";
import { isOrigin } from "../offchain/wire/origin";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { type Values, orRefuse, required, runProgram, text } from "./lib/program";

const USAGE = `npm run agent-key -- create|refresh|revoke --label NAME [options]

An agent's signing key in the vault, by one tap of your passkey. What the agent's machine uses it with, key id, address and
bearer credential, is written to a file (0600) and never shown; it is worth nothing without that machine's device key.

  create              makes the agent's next key; grant it something with grant-session
  refresh             a new credential for the key of the file; the old one is dead at once
  revoke              ends the key of the file for good

  --label NAME        the agent, registered with register-agent
  --signer URL        the signer's public base URL (a stack has its own)
  --ca FILE           PEM of the signer's CA, where it is none of the system's
  --device-key FILE   by default agents/<label>.key in the state folder
  --file FILE         by default agents/<label>.agent-key.json in the state folder${OPERATOR_USAGE}`;

const [act = "", ...argv] = process.argv.slice(2);

void runProgram({
  usage: USAGE,
  options: {
    ...OPERATOR_OPTIONS,
    label: { type: "string" },
    signer: { type: "string" },
    ca: { type: "string" },
    "device-key": { type: "string" },
    file: { type: "string" },
  },
  argv: act.startsWith("-") ? [act, ...argv] : argv,
  async run(values, voice) {
    if (act !== "create" && act !== "refresh" && act !== "revoke") {
      throw new UsageError("the act is one of create, refresh, revoke");
    }
    const label = required(values, "label");
    if (!isLabel(label)) throw new UsageError("--label is 1 to 32 of a-z, 0-9 and -");
    const signer = await signerOf(values);
    await withOperator(values, voice, async ({ operator, place, authenticator }) => {
      const { account, operatorOmni } = orRefuse(await operator.identity());
      const file = text(values, "file") ?? join(place.stateDir, "agents", `${label}.agent-key.json`);
      const known = await keyIn(file);
      if (act === "create" && known !== undefined) {
        throw new UsageError(`${file} holds a key already: refresh or revoke it, or name another --file`);
      }
      const { chainId, contracts } = place.deployment;
      const ca = text(values, "ca");
      const client = await agentKeysClient({
        device: await deviceKeyAt(text(values, "device-key") ?? join(place.stateDir, "agents", `${label}.key`)),
        operatorOmni,
        account,
        domain: { chainId, registry: contracts.SidecarRegistry },
        signer,
        entryPoint: place.deployment,
        ...(ca === undefined ? {} : { ca: await readFile(ca) }),
        now: () => Math.floor(Date.now() / 1_000),
      });
      try {
        if (act === "revoke") {
          const { keyId } = needed(known, file);
          const { revokedAt } = orRefuse(await client.revoke(keyId, authenticator));
          voice.finish({ ok: true, keyId, revokedAt }, ["Revoked."]);
          return;
        }
        const made = await (act === "create"
          ? client.create(label, authenticator)
          : client.refresh(needed(known, file), authenticator));
        const { keyId, agentAddress, agentCredential, expiresAt } = orRefuse(made);
        const handle: AgentKeyHandle = { keyId, agentAddress, agentCredential };
        await writePrivate(file, `${JSON.stringify({ ...handle, expiresAt })}\n`);
        const until = new Date(expiresAt * 1_000).toISOString();
        voice.finish({ ok: true, label, keyId, agentAddress, expiresAt, file }, [
          `Key ${agentAddress}; its credential, until ${until}, is in ${file}.`,
        ]);
      } finally {
        await client.close();
      }
    });
  },
});

async function signerOf(values: Values): Promise<string> {
  const stack = text(values, "stack");
  const read = stack === undefined ? undefined : readJsonObject(await readFile(stack).catch(() => Buffer.alloc(0)));
  const urls = read?.ok === true ? read.value["urls"] : undefined;
  const own = isJsonObject(urls) ? urls["signerPublic"] : undefined;
  const signer = text(values, "signer") ?? (typeof own === "string" ? own : required(values, "signer"));
  if (!isOrigin(signer))
    throw new UsageError("--signer is no origin: https (http on loopback only), no trailing slash");
  return signer;
}

/** @throws LooseKeyFile where others can read it */
async function keyIn(file: string): Promise<AgentKeyHandle | undefined> {
  const content = await readPrivate(file);
  if (content === undefined) return undefined;
  const read = readJsonObject(Buffer.from(content));
  const { keyId, agentAddress, agentCredential } = read.ok ? read.value : {};
  if (typeof keyId !== "string" || !isAddressHex(agentAddress) || typeof agentCredential !== "string") {
    throw new UsageError(`${file} is not an agent key's file`);
  }
  return { keyId, agentAddress, agentCredential };
}

function needed(known: AgentKeyHandle | undefined, file: string): AgentKeyHandle {
  if (known === undefined) throw new UsageError(`${file} is missing: make a key first`);
  return known;
}
