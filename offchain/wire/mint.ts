import { type Hex, ZERO32, isBytes32 } from "./bytes";
import type { CapRequest } from "./cap-request";
import { isWholeNumber, readJsonObject } from "./json";
import { type DataClass, type Op, isDataClass, isService } from "./names";
import { type Result, ok, refuse } from "./result";

/** What a mint route fixes; `classify` alone takes its class from the body. */
export interface MintRoute {
  readonly path: string;
  readonly op: Op;
  readonly dataClass: DataClass | undefined;
}

/** Every cap route of the broker. @see protocol 3.3 */
export const MINT_ROUTES: readonly MintRoute[] = [
  { path: "/v1/cap/cred-store", op: "store", dataClass: "credentials" },
  { path: "/v1/cap/cred-fetch", op: "fetch", dataClass: "credentials" },
  { path: "/v1/cap/cred-teardown", op: "teardown", dataClass: "credentials" },
  { path: "/v1/cap/cred-rotate", op: "rotate", dataClass: "credentials" },
  { path: "/v1/cap/memory-put", op: "store", dataClass: "memory" },
  { path: "/v1/cap/memory-get", op: "fetch", dataClass: "memory" },
  { path: "/v1/cap/memory-teardown", op: "teardown", dataClass: "memory" },
  { path: "/v1/cap/memory-rotate", op: "rotate", dataClass: "memory" },
  { path: "/v1/cap/config-store", op: "store", dataClass: "config" },
  { path: "/v1/cap/config-fetch", op: "fetch", dataClass: "config" },
  { path: "/v1/cap/config-teardown", op: "teardown", dataClass: "config" },
  { path: "/v1/cap/config-rotate", op: "rotate", dataClass: "config" },
  { path: "/v1/cap/classify", op: "classify", dataClass: undefined },
];

/** A mint body whose shape is right; nothing in it is proved yet. */
export interface MintRequest {
  readonly cap: CapRequest;
  /** As sent: anything wrong with its value is `cap_pop_invalid`, later. */
  readonly clientSig: unknown;
}

/** The answer to a mint. */
export interface MintAnswer {
  readonly cap: string;
  readonly expires_at: number;
}

/** The path that mints a cap for `op` on `dataClass`. */
export function mintPath(op: Op, dataClass: DataClass): string {
  const route = MINT_ROUTES.find((one) => one.op === op && (one.dataClass ?? dataClass) === dataClass);
  if (route === undefined) throw new RangeError(`no cap route for ${op} of ${dataClass}`);
  return route.path;
}

/** The body that a client sends for a cap that it signed. */
export function encodeMint(cap: CapRequest, clientSig: Hex): string {
  return JSON.stringify({
    operator_omni: cap.operatorOmni,
    actor_omni: cap.actorOmni,
    device_key_hash: cap.deviceKeyHash,
    service: cap.service,
    ...(cap.op === "store" ? { content_hash: cap.contentHash } : {}),
    ...(cap.op === "classify" ? { data_class: cap.dataClass } : {}),
    k3_epoch: cap.k3Epoch,
    issued_at: cap.issuedAt,
    expires_at: cap.expiresAt,
    nonce: cap.nonce,
    client_sig: clientSig,
  });
}

/** Reads a mint body: `request_malformed` for any member that is missing or has the wrong form. */
export function parseMint(route: MintRoute, body: Uint8Array): Result<MintRequest> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { operator_omni, actor_omni, device_key_hash, service, k3_epoch, issued_at, expires_at, nonce } = read.value;
  const contentHash = route.op === "store" ? read.value["content_hash"] : ZERO32;
  const dataClass = route.dataClass ?? read.value["data_class"];
  if (!isBytes32(operator_omni)) return malformed("operator_omni");
  if (!isBytes32(actor_omni)) return malformed("actor_omni");
  if (!isBytes32(device_key_hash)) return malformed("device_key_hash");
  if (!isService(service)) return malformed("service");
  if (!isBytes32(contentHash)) return malformed("content_hash");
  if (!isDataClass(dataClass)) return malformed("data_class");
  if (!isWholeNumber(k3_epoch)) return malformed("k3_epoch");
  if (!isWholeNumber(issued_at)) return malformed("issued_at");
  if (!isWholeNumber(expires_at) || expires_at <= issued_at) return malformed("expires_at");
  if (!isBytes32(nonce)) return malformed("nonce");
  return ok({
    cap: {
      operatorOmni: operator_omni,
      actorOmni: actor_omni,
      deviceKeyHash: device_key_hash,
      service,
      op: route.op,
      dataClass,
      contentHash,
      k3Epoch: k3_epoch,
      issuedAt: issued_at,
      expiresAt: expires_at,
      nonce,
    },
    clientSig: read.value["client_sig"],
  });
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}
