import { CHAIN_VARIABLES } from "../http/chain-config";
import { oneOf, origin, readConfig, text, whole } from "../http/config";
import { isBytes32 } from "../wire/bytes";

/** The sidecar's environment. */
export const SIDECAR_VARIABLES = {
  socket: {
    name: "SIDECAR_SOCKET",
    meaning: "Path of the Unix socket, mode 0600 in a folder of mode 0700",
    read: text,
  },
  tcpPort: {
    name: "SIDECAR_TCP_PORT",
    meaning: "Port on 127.0.0.1 for callers with a token; none by default",
    fallback: "none",
    read: portOrNone,
  },
  tokenFile: {
    name: "SIDECAR_TOKEN_FILE",
    meaning: "File with the TCP callers' token, mode 0600",
    fallback: "none",
    read: text,
  },
  deviceKeyFile: { name: "SIDECAR_DEVICE_KEY_FILE", meaning: "This machine's K10, mode 0600", read: text },
  marksFile: { name: "SIDECAR_MARKS_FILE", meaning: "What this device has seen of each object, mode 0600", read: text },
  servicesFile: {
    name: "SIDECAR_SERVICES_FILE",
    meaning: "JSON: service → upstream and where its credential goes",
    read: text,
  },
  operatorOmni: { name: "SIDECAR_OPERATOR_OMNI", meaning: "The operator's omni", read: bytes32 },
  actorOmni: { name: "SIDECAR_ACTOR_OMNI", meaning: "The omni of the agent that this sidecar serves", read: bytes32 },
  brokerOrigin: { name: "SIDECAR_BROKER_ORIGIN", meaning: "The broker's public base URL", read: origin },
  workerOrigin: { name: "SIDECAR_WORKER_ORIGIN", meaning: "The credentials worker's public base URL", read: origin },
  logLevel: {
    name: "SIDECAR_LOG_LEVEL",
    meaning: "fatal, error, warn, info or debug",
    fallback: "info",
    read: oneOf("fatal", "error", "warn", "info", "debug", "silent"),
  },
  ...CHAIN_VARIABLES,
} as const;

/** Reads it whole; throws one error that lists every problem. */
export function sidecarConfig(env: NodeJS.ProcessEnv) {
  return readConfig(SIDECAR_VARIABLES, env);
}

function portOrNone(value: string): number | undefined {
  return value === "none" ? undefined : whole(value);
}

function bytes32(value: string): `0x${string}` {
  if (!isBytes32(value)) throw new Error("must be 0x and 64 lowercase hex digits");
  return value;
}
