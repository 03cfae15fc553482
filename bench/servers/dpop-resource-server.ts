import { type KeyObject, createHash, createPublicKey, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

import express, { type Request } from "express";
import { EmbeddedJWK, type JWK, calculateJwkThumbprint, jwtVerify } from "jose";

import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";

/**
 * The peer of the worker's deciding: an Express resource server that takes DPoP-bound access tokens and makes every
 * check of RFC 9449 §4.3 with jose, with a replay cache in memory. Log a line a request and metrics, as ours.
 */
const origin = process.env["BENCH_ORIGIN"] ?? "";
const issuer = process.env["BENCH_ISSUER"] ?? "";
const issuerKey: KeyObject = createPublicKey(readFileSync(process.env["BENCH_ISSUER_KEY_FILE"] ?? ""));
const log = serviceLog("dpop-resource-server", "info");
const metrics = serviceMetrics("dpop-resource-server");

const WINDOW_SECONDS = 60;
const seen = new Map<string, number>();
setInterval(() => {
  const before = Date.now() / 1_000 - 2 * WINDOW_SECONDS;
  for (const [jti, at] of seen) if (at < before) seen.delete(jti);
}, 30_000).unref();

/** Throws where a check fails; the order and the numbers are those of RFC 9449 §4.3. */
async function verify(request: Request): Promise<void> {
  const token = /^DPoP ([^ ]+)$/.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new Error("no DPoP access token");
  const access = await jwtVerify(token, issuerKey, {
    issuer,
    audience: origin,
    typ: "at+jwt",
    algorithms: ["ES256"],
    requiredClaims: ["exp", "iat", "sub", "client_id", "jti"],
  });
  // 1: one header field
  const proofs = request.headersDistinct["dpop"] ?? [];
  const [proof] = proofs;
  if (proof === undefined || proofs.length > 1) throw new Error("not exactly one DPoP header");
  // 2 to 7: well-formed, claims, typ, asymmetric alg, signature, no private key
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
    typ: "dpop+jwt",
    algorithms: ["ES256"],
    requiredClaims: ["jti", "htm", "htu", "iat", "ath"],
  });
  // 8, 9: method and target
  if (payload["htm"] !== request.method) throw new Error("htm");
  const htu = new URL(String(payload["htu"]));
  if (htu.origin + htu.pathname !== origin + request.path) throw new Error("htu");
  // 10: no nonce was provided; 11: recent
  if (Math.abs((payload.iat ?? 0) - Date.now() / 1_000) > WINDOW_SECONDS) throw new Error("iat");
  // 12: the token's hash, and the key that the token is bound to
  const ath = createHash("sha256").update(token).digest();
  const given = Buffer.from(String(payload["ath"]), "base64url");
  if (given.length !== ath.length || !timingSafeEqual(given, ath)) throw new Error("ath");
  const { jkt } = (access.payload["cnf"] ?? {}) as { jkt?: string };
  if ((await calculateJwkThumbprint(protectedHeader.jwk as JWK)) !== jkt) throw new Error("cnf");
  // §11.1: once
  const jti = `${jkt} ${String(payload.jti)}`;
  if (seen.has(jti)) throw new Error("replayed");
  seen.set(jti, payload.iat ?? 0);
}

const app = express().disable("x-powered-by").disable("etag");
app.use(express.json());
app.get("/healthz", (_request, response) => void response.json({ alive: true }));
app.post("/fetch", (request, response) => {
  const started = performance.now();
  verify(request)
    .then(
      () => response.json({ granted: true }),
      (error: unknown) => response.status(401).json({ error: "invalid_dpop_proof", why: String(error) }),
    )
    .finally(() => {
      const seconds = (performance.now() - started) / 1_000;
      metrics.request("/fetch", response.statusCode, "ok", seconds);
      log.info({ route: "/fetch", status: response.statusCode, ms: Math.round(seconds * 1e5) / 100 });
    });
});
app.listen(Number(process.env["BENCH_PORT"]), "127.0.0.1");
process.on("SIGTERM", () => process.exit());
