import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

import { type Failure, failure } from "../wire/result";

/** Whether a caller may use the sidecar; the full form asks the kernel as well. */
export type Admission = (request: IncomingMessage) => Failure | undefined;

/** On the Unix socket the file's mode decides: 0600, this user alone. */
export const socketAdmission: Admission = () => undefined;

/**
 * On TCP a token decides, as `AgentKeys-Token` or in the place of the API key that an SDK sends. `Host` must be the
 * listener's own and there must be no `Origin`: no web page reaches it.
 */
export function tokenAdmission(token: Buffer, host: string): Admission {
  const wanted = digest(token);
  return (request) => {
    const { headers } = request;
    if (headers.host !== host || headers.origin !== undefined) {
      return failure("caller_not_allowed", "Only local programs may call, by the listener's own host name.");
    }
    const given = [headers["agentkeys-token"], headers.authorization?.replace(/^Bearer /, ""), headers["x-api-key"]];
    const isKnown = given.some((one) => typeof one === "string" && timingSafeEqual(digest(Buffer.from(one)), wanted));
    return isKnown ? undefined : failure("caller_not_allowed", "The caller's token is missing or wrong.");
  };
}

function digest(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
