import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

import { rawValues } from "../http/body";
import { type Failure, failure } from "../wire/result";

/** Whether a caller may use the sidecar; the full form asks the kernel as well. */
export type Admission = (request: IncomingMessage) => Failure | undefined;

/** Shorter than this a token can be guessed. */
export const MIN_TOKEN_BYTES = 16;

/** On the Unix socket the file's mode decides: 0600, this user alone. */
export const socketAdmission: Admission = () => undefined;

/**
 * On TCP a token decides, as `AgentKeys-Token` or in the place of the API key that an SDK sends; none of these may come
 * twice. `Host` must be the listener's own and there must be no `Origin`: no web page reaches it. Throws a RangeError
 * where the token is too short.
 */
export function tokenAdmission(token: Buffer, host: string): Admission {
  if (token.length < MIN_TOKEN_BYTES) throw new RangeError(`a token has at least ${String(MIN_TOKEN_BYTES)} bytes`);
  const wanted = digest(token);
  return (request) => {
    const hosts = rawValues(request, "host");
    if (hosts.length !== 1 || hosts[0] !== host || rawValues(request, "origin").length > 0) {
      return failure("caller_not_allowed", "Only local programs may call, by the listener's own host name.");
    }
    const places = ["agentkeys-token", "authorization", "x-api-key"].map((name) => rawValues(request, name));
    const given = places.flat().map((one) => one.replace(/^Bearer /, ""));
    const isKnown = given.some((one) => timingSafeEqual(digest(Buffer.from(one)), wanted));
    if (isKnown && places.every((values) => values.length <= 1)) return undefined;
    return failure("caller_not_allowed", "The caller's token is missing or wrong, or came twice.");
  };
}

function digest(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
