import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Agent, request } from "undici";

import type { TlsIdentity } from "./certificates";
import { type Answer, answerOf, post } from "./http";

/** Names of the certificates that a stack makes for those who call the signer. */
export type ServiceName = "broker" | "worker-credentials" | "worker-memory" | "worker-config";

/** The signer's door for services, entered with the certificates of a stack: what a thief of each of them can ask. */
export interface ServiceDoor {
  post(as: ServiceName, path: string, body: object | string): Promise<Answer>;
  get(as: ServiceName, path: string): Promise<Answer>;
  /** With any certificate, over a connection of its own. */
  as(identity: TlsIdentity, method: "GET" | "POST", path: string, body?: string): Promise<Answer>;
  close(): Promise<void>;
}

/** Opens one over the signer of a stack. */
export function serviceDoor(stack: { readonly dir: string; readonly urls: { readonly signer: string } }): ServiceDoor {
  const agents = new Map<ServiceName, Agent>();
  const agentOf = (name: ServiceName): Agent => {
    const read = (file: string): Buffer => readFileSync(join(stack.dir, "certs", file));
    const connect = { ca: read("ca.pem"), cert: read(`${name}.pem`), key: read(`${name}.key`) };
    const agent = agents.get(name) ?? new Agent({ connect: { ...connect, checkServerIdentity: () => undefined } });
    agents.set(name, agent);
    return agent;
  };
  return {
    post: (as, path, body) =>
      post(stack.urls.signer + path, typeof body === "string" ? body : JSON.stringify(body), {}, agentOf(as)),
    get: async (as, path) => answerOf(await request(stack.urls.signer + path, { dispatcher: agentOf(as) })),
    async as(identity, method, path, body) {
      const agent = new Agent({ connect: { ...identity, checkServerIdentity: () => undefined } });
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const more = body === undefined ? {} : { body };
      try {
        return await answerOf(await request(stack.urls.signer + path, { method, headers, dispatcher: agent, ...more }));
      } finally {
        await agent.close();
      }
    },
    async close() {
      await Promise.all([...agents.values()].map((one) => one.destroy()));
    },
  };
}

/** `ok`, the code, or the code and its reason. */
export function outcomeOf({ status, code, reason }: Answer): string {
  if (status === 200) return "ok";
  return reason === undefined ? (code ?? String(status)) : `${code ?? ""} ${reason}`;
}
