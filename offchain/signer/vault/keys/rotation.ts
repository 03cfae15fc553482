import type { Logger } from "../../../http/log";
import { signing } from "./token-secrets";
import type { TokenSecret, VaultKeys } from "./vault-keys";

/** Age at which the token secret that signs is replaced, in seconds: a day. @see services note 4.3 */
export const SIGNING_AGE = 86_400;

const LOOK_MS = 60_000;

/** True when the secret that signs has reached its age. */
export function rotationIsDue(secrets: readonly TokenSecret[], now: number): boolean {
  const current = signing(secrets);
  return current === undefined || now - current.createdAt >= SIGNING_AGE;
}

/** Replaces the signing secret when it is due, looking every minute and once at once; returns how to stop. */
export function rotateByAge(keys: VaultKeys, now: () => number, log: Logger): () => void {
  const look = (): void => {
    if (!rotationIsDue(keys.tokenSecrets(), now())) return;
    keys.rotateTokenSecret(now(), false).then(
      ({ kid }) => {
        log.info({ kid }, "a new token secret signs");
      },
      (error: unknown) => {
        log.error({ err: error }, "the token secret was not rotated; it is tried again");
      },
    );
  };
  look();
  const timer = setInterval(look, LOOK_MS).unref();
  return () => {
    clearInterval(timer);
  };
}
