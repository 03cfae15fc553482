import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join, resolve } from "node:path";

import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from "@simplewebauthn/server";

import type { Assertion, PasskeyCredential } from "../../offchain/client/authenticator";
import { type Result, refuse } from "../../offchain/wire/result";
import { assertionOptions, creationOptions, readAssertion, readCreation } from "./webauthn-ceremonies";

/** One thing that the page asks the person for, or tells. */
type Step =
  | { readonly kind: "create"; readonly options: PublicKeyCredentialCreationOptionsJSON }
  | {
      readonly kind: "get";
      readonly options: PublicKeyCredentialRequestOptionsJSON;
      readonly shown: readonly string[];
      readonly hash: string;
    }
  | { readonly kind: "done"; readonly words: string };

/** What the page answers; `error` where the person or the browser refused. */
interface Answer {
  readonly step: number;
  readonly response?: unknown;
  readonly error?: string;
}

/** A page on this machine that runs WebAuthn ceremonies with the person in front of it. */
export interface PasskeyPage {
  /** To be opened in a browser; the last part is a secret, so that no other local page can take part. */
  readonly url: string;
  /** Makes a passkey. */
  create(): Promise<Result<PasskeyCredential>>;
  /** Shows what is to be signed and has it signed. */
  get(credential: PasskeyCredential, challenge: Uint8Array, shown: readonly string[]): Promise<Result<Assertion>>;
  close(lastWord: string): Promise<void>;
}

const FILES = resolve(__dirname, "../passkey-page");
const BUNDLE = join(dirname(require.resolve("@simplewebauthn/browser")), "../dist/bundle/index.umd.min.js");
const MAX_ANSWER_BYTES = 64 * 1024;
const LAST_WORD_MS = 2_000;

/** Serves the page on `http://localhost:<port>`, where browsers allow WebAuthn without TLS. */
export async function openPasskeyPage(port: number): Promise<PasskeyPage> {
  const secret = randomBytes(16).toString("hex");
  const files: Readonly<Record<string, { readonly type: string; readonly body: Buffer }>> = {
    "": { type: "text/html; charset=utf-8", body: await readFile(join(FILES, "index.html")) },
    "page.mjs": { type: "text/javascript", body: await readFile(join(FILES, "page.mjs")) },
    "webauthn.js": { type: "text/javascript", body: await readFile(BUNDLE) },
  };
  let steps = 0;
  let current: { readonly number: number; readonly step: Step } | undefined;
  let heard: ((answer: Answer) => void) | undefined;
  let told: (() => void) | undefined;
  let origin = "";

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader(
      "content-security-policy",
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    );
    response.setHeader("cache-control", "no-store");
    response.setHeader("referrer-policy", "no-referrer");
    const [, given, name = ""] = (request.url ?? "").split("/");
    if (request.headers.host !== new URL(origin).host || given !== secret) {
      response.writeHead(404).end();
      return;
    }
    if (request.method === "GET" && name === "step") {
      sendJson(response, current === undefined ? {} : { number: current.number, ...current.step });
      if (current?.step.kind === "done") response.once("finish", () => told?.());
      return;
    }
    if (request.method === "POST" && name === "answer") {
      const answer = request.headers.origin === origin ? await readAnswer(request) : undefined;
      if (answer?.step !== current?.number || answer === undefined) {
        response.writeHead(409).end();
        return;
      }
      current = undefined;
      heard?.(answer);
      sendJson(response, {});
      return;
    }
    const file = Object.hasOwn(files, name) ? files[name] : undefined;
    if (request.method !== "GET" || file === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": file.type }).end(file.body);
  }

  const server: Server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  origin = `http://localhost:${(server.address() as AddressInfo).port}`;

  function ask(step: Step): Promise<Answer> {
    steps += 1;
    current = { number: steps, step };
    return new Promise((done) => (heard = done));
  }

  return {
    url: `${origin}/${secret}/`,
    async create() {
      const options = await creationOptions();
      const answer = await ask({ kind: "create", options });
      if (answer.error !== undefined) return declined(answer.error);
      return readCreation(answer.response as RegistrationResponseJSON, options.challenge, origin);
    },
    async get(credential, challenge, shown) {
      const options = await assertionOptions(credential, challenge);
      const hash = `0x${Buffer.from(challenge).toString("hex")}`;
      const answer = await ask({ kind: "get", options, shown, hash });
      if (answer.error !== undefined) return declined(answer.error);
      return readAssertion(answer.response as AuthenticationResponseJSON, credential, options.challenge, origin);
    },
    async close(lastWord) {
      const hasHeard = new Promise<void>((done) => (told = done));
      current = { number: (steps += 1), step: { kind: "done", words: lastWord } };
      const waited = new Promise<void>((done) => setTimeout(done, LAST_WORD_MS).unref());
      if (steps > 1) await Promise.race([hasHeard, waited]);
      server.close();
      server.closeAllConnections();
    },
  };
}

function declined(name: string): Result<never> {
  return refuse("caller_not_allowed", `The passkey was not used: ${/^[A-Za-z]{1,40}$/.test(name) ? name : "refused"}.`);
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function readAnswer(request: IncomingMessage): Promise<Answer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as Answer;
  } catch {
    return undefined;
  }
}
