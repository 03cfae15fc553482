import { isLoopbackHost } from "../wire/origin";
import { ConfigurationError } from "./config";

/** Embedded stores serve one replica: beyond loopback the operator must say that there is only one. @see services note 4 */
export function checkOnlyReplica(host: string, saidSo: boolean, variable: string): void {
  if (isLoopbackHost(host) || saidSo) return;
  throw new ConfigurationError(
    `${host} is not loopback, and embedded stores serve one replica: set ${variable}=1 if this is it`,
  );
}
