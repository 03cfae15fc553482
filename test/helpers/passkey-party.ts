import { randomBytes } from "node:crypto";

import { type AgentKeysClient, type AgentKeysOptions, agentKeysClient } from "../../offchain/client/agent-keys";
import type { Authenticator } from "../../offchain/client/authenticator";
import { type DeviceKey, deviceKey } from "../../offchain/client/device-key-file";
import { type Operator, openOperator } from "../../offchain/client/operator";
import { newSoftwarePasskey, softwareAuthenticator } from "../../offchain/client/software-authenticator";
import type { Hex } from "../../offchain/wire/bytes";
import { NO_END } from "../../offchain/wire/names";
import type { Result } from "../../offchain/wire/result";
import type { Stack } from "../../scripts/lib/stack";
import { type TestDevice, nowSeconds, testDevice } from "./words";

/** An operator whose master account is a real one with a passkey, and an agent of its that may have payloads signed. */
export interface PasskeyParty {
  readonly account: Hex;
  readonly omni: Hex;
  readonly label: string;
  readonly agent: TestDevice;
  readonly authenticator: Authenticator;
  /** How often the passkey was asked, and over what. */
  readonly taps: readonly Uint8Array[];
  readonly operator: Operator;
  /** A client of the agent's device, of the real signer unless told otherwise. */
  client(change?: Partial<AgentKeysOptions>): Promise<AgentKeysClient>;
}

/** Deploys the account, registers the operator and an agent, all through the EntryPoint. */
export async function passkeyParty(stack: Stack, label = "agent-a"): Promise<PasskeyParty> {
  const inner = softwareAuthenticator(newSoftwarePasskey());
  const taps: Uint8Array[] = [];
  const authenticator: Authenticator = {
    ...inner,
    getAssertion(challenge, shown) {
      taps.push(challenge);
      return inner.getAssertion(challenge, shown);
    },
  };
  const { rpcUrl, deployment } = stack;
  const relay = { kind: "direct", key: stack.developmentKey } as const;
  const operator = worked(await openOperator({ rpcUrl, deployment, authenticator: inner, relay }));
  const { account, operatorOmni: omni } = worked(await operator.registerMaster());
  const agent = testDevice(randomBytes(32));
  worked(await operator.registerAgent({ label, device: deviceKey(agent.secret), grants: [payloadGrant()] }));
  const domain = { chainId: stack.chainId, registry: stack.contracts.SidecarRegistry };
  const client = (change: Partial<AgentKeysOptions> = {}): Promise<AgentKeysClient> => {
    const device: DeviceKey = deviceKey(agent.secret);
    const signer = stack.urls.signerPublic;
    const own = { device, operatorOmni: omni, account, domain, signer, entryPoint: deployment, now: nowSeconds };
    return agentKeysClient({ ...own, ...change });
  };
  return { account, omni, label, agent, authenticator, taps, operator, client };
}

/** The grant that lets an agent have 32 bytes signed. @see protocol 3.8 */
export function payloadGrant(): Parameters<Operator["grantScope"]>[1][number] {
  return { dataClass: "config", service: "kms.payload", ops: ["fetch"], validUntil: NO_END };
}

function worked<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}
