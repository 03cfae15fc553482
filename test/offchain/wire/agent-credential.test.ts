import { createHmac, createSecretKey } from "node:crypto";

import { expect } from "chai";
import fc from "fast-check";
import { SignJWT, jwtVerify } from "jose";

import {
  AGENT_CREDENTIAL_AUDIENCE,
  AGENT_CREDENTIAL_TYP,
  type AgentCredentialClaims,
  type MacOf,
  agentCredentialIsOurs,
  encodeAgentCredential,
  parseAgentCredential,
} from "../../../offchain/wire/agent-credential";
import { fromBase64url, toBase64url } from "../../../offchain/wire/bytes";
import { MALFORMED_JSON, NEUTRAL_JSON, notBytes32, notWhole, withMember } from "../../helpers/malformed";

const SECRETS: Readonly<Record<string, Buffer>> = { one: Buffer.alloc(32, 1), two: Buffer.alloc(32, 2) };

/** The vault's part, with secrets that a test holds. */
const macOf: MacOf = (kid, input) => {
  const secret = SECRETS[kid];
  return Promise.resolve(secret && createHmac("sha256", secret).update(input).digest());
};

const claims: AgentCredentialClaims = {
  iss: "https://signer.example.org",
  aud: AGENT_CREDENTIAL_AUDIENCE,
  sub: `0x${"ab".repeat(32)}`,
  jti: `0x${"cd".repeat(32)}`,
  iat: 1767225600,
  exp: 1767484800,
  walletId: "f5dfe9a9-85fd-8b4d-877f-7116fefb3127",
  agentIndex: 7,
  agentAddress: `0x${"22".repeat(20)}`,
  deviceKeyHash: `0x${"ef".repeat(32)}`,
  epoch: 3,
};
const HEADER = JSON.stringify({ alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one" });

async function issued(of: AgentCredentialClaims = claims, kid = "one"): Promise<string> {
  const text = await encodeAgentCredential(of, kid, macOf);
  if (text === undefined) throw new Error("the secret is there");
  return text;
}

/** A credential of any header and payload, with the right MAC over them. */
async function macced(header: string | Buffer, payload: string | Buffer, kid = "one"): Promise<string> {
  const input = `${toBase64url(Buffer.from(header))}.${toBase64url(Buffer.from(payload))}`;
  const mac = await macOf(kid, Buffer.from(input));
  return `${input}.${toBase64url(mac ?? Buffer.alloc(32))}`;
}

function expectInvalid(text: string, name = text): void {
  const parsed = parseAgentCredential(text);
  expect(parsed.ok ? "accepted" : parsed.failure.code, name).to.equal("credential_invalid");
}

describe("wire: agent credentials", () => {
  let payload = "";

  before(async () => {
    const [, middle] = (await issued()).split(".");
    payload = (fromBase64url(middle) ?? Buffer.alloc(0)).toString();
  });

  it("come back as they went, and the MAC is over the text", async () => {
    const text = await issued();
    const parsed = parseAgentCredential(text);
    if (!parsed.ok) throw new Error(parsed.failure.detail);
    expect(parsed.value.claims).to.deep.equal(claims);
    expect(parsed.value.kid).to.equal("one");
    expect(parsed.value.signingInput.toString()).to.equal(text.slice(0, text.lastIndexOf(".")));
    expect(parsed.value.mac).to.have.length(32);
    expect(await agentCredentialIsOurs(parsed.value, macOf)).to.equal(true);
  });

  it("are what jose makes and reads", async () => {
    const key = createSecretKey(SECRETS["one"] ?? Buffer.alloc(0));
    const { protectedHeader, payload: read } = await jwtVerify(await issued(), key, {
      algorithms: ["HS256"],
      audience: AGENT_CREDENTIAL_AUDIENCE,
      issuer: claims.iss,
      typ: AGENT_CREDENTIAL_TYP,
      currentDate: new Date(claims.iat * 1000),
    });
    expect(protectedHeader).to.deep.equal({ alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one" });
    expect(read).to.deep.equal(JSON.parse(payload));
    const theirs = await new SignJWT(JSON.parse(payload) as Record<string, unknown>)
      .setProtectedHeader({ alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one" })
      .sign(key);
    const parsed = parseAgentCredential(theirs);
    expect(parsed.ok && (await agentCredentialIsOurs(parsed.value, macOf))).to.equal(true);
  });

  it("are not made by a secret that is gone, nor believed by one", async () => {
    expect(await encodeAgentCredential(claims, "three", macOf)).to.equal(undefined);
    const parsed = parseAgentCredential(await issued());
    if (!parsed.ok) throw new Error(parsed.failure.detail);
    const credential = parsed.value;
    expect(await agentCredentialIsOurs(credential, () => Promise.resolve(undefined))).to.equal(false);
    expect(await agentCredentialIsOurs({ ...credential, kid: "two" }, macOf)).to.equal(false);
    expect(await agentCredentialIsOurs({ ...credential, kid: "__proto__" }, () => Promise.resolve(undefined))).to.equal(
      false,
    );
    // a MAC of another length is compared too, not thrown at
    expect(await agentCredentialIsOurs(credential, () => Promise.resolve(Buffer.alloc(31)))).to.equal(false);
    expect(await agentCredentialIsOurs(credential, () => Promise.resolve(Buffer.alloc(0)))).to.equal(false);
  });

  it("hide no changed bit", async () => {
    const text = await issued();
    const parts = text.split(".").map((part) => Buffer.from(part, "base64url"));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 2 }), fc.nat(), async (part, at) => {
        const changed = parts.map((bytes) => Buffer.from(bytes));
        const bytes = changed[part] ?? Buffer.alloc(1);
        const bit = at % (8 * bytes.length);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const parsed = parseAgentCredential(changed.map((one) => toBase64url(one)).join("."));
        expect(parsed.ok && (await agentCredentialIsOurs(parsed.value, macOf))).to.equal(false);
      }),
      { numRuns: 300 },
    );
  });

  it("have no other text form", async () => {
    const good = await issued();
    const [header = "", middle = "", mac = ""] = good.split(".");
    const rows = [
      "",
      ".",
      "..",
      "...",
      header,
      `${header}.${middle}`,
      `${header}.${middle}.`,
      `${good}.`,
      `${good}.${mac}`,
      `.${good}`,
      `${good}=`,
      ` ${good}`,
      `${good}\n`,
      `${header}=.${middle}.${mac}`,
      `${header}.${middle}.${mac.slice(0, -1)}`,
      `${header}.${middle}.${mac}A`,
      `${header}.${middle}.${toBase64url(Buffer.alloc(31))}`,
      `${header}.${middle}.${toBase64url(Buffer.alloc(33))}`,
      `${header}.${middle}.${toBase64url(Buffer.alloc(64))}`,
      good.replaceAll("-", "+").replaceAll("_", "/") === good
        ? `${good}+`
        : good.replaceAll("-", "+").replaceAll("_", "/"),
      await macced(HEADER, payload.replace("{", `{"long":"${"a".repeat(4096)}",`)),
    ];
    for (const text of rows) expectInvalid(text);
    expect(parseAgentCredential(good).ok).to.equal(true);
  });

  it("have exactly this header", async () => {
    const headers = [
      { alg: "none", typ: AGENT_CREDENTIAL_TYP, kid: "one" },
      { alg: "HS384", typ: AGENT_CREDENTIAL_TYP, kid: "one" },
      { alg: "hs256", typ: AGENT_CREDENTIAL_TYP, kid: "one" },
      { alg: "ES256", typ: AGENT_CREDENTIAL_TYP, kid: "one" },
      { alg: "HS256", typ: "JWT", kid: "one" },
      { alg: "HS256", typ: "agentkeys-cap+jwt", kid: "one" },
      { alg: "HS256", kid: "one" },
      { alg: "HS256", typ: AGENT_CREDENTIAL_TYP },
      { alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: 1 },
      { alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one", crit: ["exp"] },
      { alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one", jwk: { kty: "oct", k: "AA" } },
      { alg: "HS256", typ: AGENT_CREDENTIAL_TYP, kid: "one", b64: false },
    ].map((header) => JSON.stringify(header));
    for (const header of [...headers, `[${HEADER}]`, "", HEADER.replace("{", `{"alg":"none",`)])
      expectInvalid(await macced(header, payload), header);
    for (const { name, edit } of MALFORMED_JSON) expectInvalid(await macced(edit(HEADER), payload), `header: ${name}`);
    expect(parseAgentCredential(await macced(HEADER, payload)).ok).to.equal(true);
  });

  it("have exactly these claims, and others are ignored", async () => {
    const address = claims.agentAddress;
    const noText = ["null", "1", "[]", "{}", "true"];
    const rows: Readonly<Record<string, readonly string[]>> = {
      iss: noText,
      aud: [...noText, `["${AGENT_CREDENTIAL_AUDIENCE}"]`],
      sub: notBytes32(claims.sub),
      jti: notBytes32(claims.jti),
      iat: notWhole(claims.iat),
      exp: notWhole(claims.exp),
      wallet_id: noText,
      agent_index: notWhole(7),
      agent_address: [...noText, `"${address.slice(2)}"`, `"${address}00"`, `"0x${"AA".repeat(20)}"`],
      device_key_hash: notBytes32(claims.deviceKeyHash),
      epoch: notWhole(3),
    };
    expect(Object.keys(JSON.parse(payload) as object)).to.deep.equal(Object.keys(rows));
    for (const [member, values] of Object.entries(rows)) {
      for (const value of [undefined, ...values])
        expectInvalid(await macced(HEADER, withMember(payload, member, value)), `${member}: ${value ?? "missing"}`);
    }
    for (const exp of [claims.iat, claims.iat - 1])
      expectInvalid(await macced(HEADER, withMember(payload, "exp", String(exp))), "no life");
    for (const { name, edit } of MALFORMED_JSON) expectInvalid(await macced(HEADER, edit(payload)), `claims: ${name}`);
    for (const { name, edit } of NEUTRAL_JSON) {
      const parsed = parseAgentCredential(await macced(HEADER, edit(payload)));
      expect(parsed.ok && parsed.value.claims, name).to.deep.equal(claims);
    }
  });

  it("answer any text with a value", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expectInvalid(text);
        expectInvalid(`${text}.${text}.${text}`);
      }),
    );
  });

  it("know devices and addresses only in one spelling", async () => {
    const upper: `0x${string}` = `0x${"AB".repeat(32)}`;
    expectInvalid(await issued({ ...claims, sub: upper }));
    expectInvalid(await issued({ ...claims, deviceKeyHash: upper }));
  });
});
