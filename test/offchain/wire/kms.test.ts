import { expect } from "chai";
import fc from "fast-check";

import { type Hex, toBase64url } from "../../../offchain/wire/bytes";
import {
  parseBeginCeremony,
  parseCreateAgentKey,
  parseRefreshAgentCredential,
  parseRevokeAgentCredential,
  parseSignAgent,
  readKeyId,
} from "../../../offchain/wire/kms";
import type { Result } from "../../../offchain/wire/result";
import { type PackedUserOperation, encodeUserOperation, packTwo } from "../../../offchain/wire/user-operation";
import { MALFORMED_JSON, NEUTRAL_JSON, notBytes32, notWhole, withMember } from "../../helpers/malformed";

const WALLET_ID = "f5dfe9a9-85fd-8b4d-877f-7116fefb3127";
const KEY_ID = `${WALLET_ID}:7`;
const ACCOUNT: Hex = `0x${"11".repeat(20)}`;
const CEREMONY_ID = toBase64url(Buffer.alloc(16, 9));
const ASSERTION = { credentialId: "AA", authenticatorData: "AQ", clientDataJSON: "e30", signature: "MAA" };
const PAYLOAD: Hex = `0x${"cd".repeat(32)}`;

const operation: PackedUserOperation = {
  sender: ACCOUNT,
  nonce: 7n,
  initCode: "0x",
  callData: "0xe9ae5c53",
  accountGasLimits: packTwo(1n, 2n),
  preVerificationGas: 3n,
  gasFees: packTwo(4n, 5n),
  paymasterAndData: "0x",
  signature: "0x",
};

const create = { operation: "create", humanKeyId: ACCOUNT, label: "agent-a" };
const refresh = { operation: "refresh", humanKeyId: ACCOUNT, keyId: KEY_ID };
const revoke = { operation: "revoke", humanKeyId: ACCOUNT, keyId: KEY_ID };
const createKey = { ceremonyId: CEREMONY_ID, humanKeyId: ACCOUNT, label: "agent-a", webAuthnAssertion: ASSERTION };
const credential = { ceremonyId: CEREMONY_ID, keyId: KEY_ID, webAuthnAssertion: ASSERTION };
const signOperation = {
  keyId: KEY_ID,
  userOperation: encodeUserOperation(operation),
  entryPoint: `0x${"ee".repeat(20)}`,
  chainId: 31337,
};
const signPayload = { keyId: KEY_ID, payload: PAYLOAD, algorithm: "eip191-32", accountAddress: ACCOUNT };

type Parse = (body: Uint8Array) => Result<unknown>;
const NO_TEXT = ["null", "1", "true", "[]", "{}", `""`];
const NO_ADDRESS = [...NO_TEXT, `"${ACCOUNT.slice(2)}"`, `"${ACCOUNT}00"`, `"0x${"AA".repeat(20)}"`, `["${ACCOUNT}"]`];
const NO_LABEL = [...NO_TEXT, `"Agent"`, `"agent a"`, `"agent\\u202e"`, `"${"a".repeat(33)}"`];
const NO_KEY_ID = [
  ...NO_TEXT,
  `"${WALLET_ID}"`,
  `"${WALLET_ID}:"`,
  `"${WALLET_ID}:-1"`,
  `"${WALLET_ID}:07"`,
  `"${WALLET_ID}:2147483648"`,
  `"${WALLET_ID}:7 "`,
  `"${WALLET_ID}:7\\n"`,
  `"${WALLET_ID.toUpperCase()}:7"`,
  `"${WALLET_ID.replace("-8b4d", "-4b4d")}:7"`,
  `"${WALLET_ID.replace("-877f", "-c77f")}:7"`,
  `"${WALLET_ID.replaceAll("-", "")}:7"`,
  `"../${WALLET_ID}:7"`,
];
const NO_CEREMONY_ID = [
  ...NO_TEXT,
  ...[15, 17, 32].map((length) => `"${toBase64url(Buffer.alloc(length))}"`),
  `"${CEREMONY_ID}=="`,
  `"${CEREMONY_ID} "`,
  `"${CEREMONY_ID.slice(0, -1)}R"`,
];
const NO_ASSERTION = [
  ...NO_TEXT,
  ...Object.keys(ASSERTION).map((member) => withMember(JSON.stringify(ASSERTION), member, undefined)),
];

const read = (parse: Parse, text: string | Buffer): unknown => {
  const parsed = parse(Buffer.from(text));
  return parsed.ok ? parsed.value : parsed.failure.code;
};

interface Route {
  readonly name: string;
  readonly parse: Parse;
  readonly body: object;
  readonly value: object;
  /** Per member, JSON texts that are not what it must be. */
  readonly wrong: Readonly<Record<string, readonly string[]>>;
}

const parsedCredential = { ...credential };
const ROUTES: readonly Route[] = [
  {
    name: "begin-ceremony, create",
    parse: parseBeginCeremony,
    body: create,
    value: create,
    wrong: { operation: [...NO_TEXT, `"Create"`, `"sign"`, `"refresh"`], humanKeyId: NO_ADDRESS, label: NO_LABEL },
  },
  {
    name: "begin-ceremony, refresh",
    parse: parseBeginCeremony,
    body: refresh,
    value: refresh,
    wrong: { operation: [...NO_TEXT, `"create"`], humanKeyId: NO_ADDRESS, keyId: NO_KEY_ID },
  },
  {
    name: "begin-ceremony, revoke",
    parse: parseBeginCeremony,
    body: revoke,
    value: revoke,
    wrong: { operation: [...NO_TEXT, `"create"`], humanKeyId: NO_ADDRESS, keyId: NO_KEY_ID },
  },
  {
    name: "create-agent-key",
    parse: parseCreateAgentKey,
    body: createKey,
    value: createKey,
    wrong: {
      ceremonyId: NO_CEREMONY_ID,
      humanKeyId: NO_ADDRESS,
      label: NO_LABEL,
      webAuthnAssertion: NO_ASSERTION,
    },
  },
  ...[parseRefreshAgentCredential, parseRevokeAgentCredential].map((parse) => ({
    name: parse.name,
    parse,
    body: credential,
    value: parsedCredential,
    wrong: { ceremonyId: NO_CEREMONY_ID, keyId: NO_KEY_ID, webAuthnAssertion: NO_ASSERTION },
  })),
];

describe("wire: bodies of /kms", () => {
  for (const { name, parse, body, value, wrong } of ROUTES) {
    it(`${name}: is read, other members and all`, () => {
      const text = JSON.stringify(body);
      expect(read(parse, text)).to.deep.equal(value);
      for (const { name: kind, edit } of NEUTRAL_JSON) expect(read(parse, edit(text)), kind).to.deep.equal(value);
      // a server's words in the body change nothing
      expect(read(parse, withMember(text, "challenge", `"AAAA"`))).to.deep.equal(value);
    });

    it(`${name}: is refused with any one member missing or of another form`, () => {
      const text = JSON.stringify(body);
      expect(Object.keys(wrong)).to.have.members(Object.keys(body));
      for (const [member, values] of Object.entries(wrong)) {
        for (const one of [undefined, ...values]) {
          const answer = read(parse, withMember(text, member, one));
          expect(answer, `${member}: ${one ?? "missing"}`).to.equal("request_malformed");
        }
      }
      for (const { name: kind, edit } of MALFORMED_JSON)
        expect(read(parse, edit(text)), kind).to.equal("request_malformed");
    });
  }
});

describe("wire: the body of /kms/sign-agent", () => {
  const operationText = JSON.stringify(signOperation);
  const payloadText = JSON.stringify(signPayload);
  const { entryPoint, chainId } = signOperation;

  it("is a user operation or a payload", () => {
    expect(read(parseSignAgent, operationText)).to.deep.equal({
      kind: "userOperation",
      keyId: KEY_ID,
      userOperation: operation,
      entryPoint,
      chainId,
    });
    const payload = { kind: "payload", keyId: KEY_ID, payload: PAYLOAD, accountAddress: ACCOUNT };
    expect(read(parseSignAgent, payloadText)).to.deep.equal(payload);
    expect(read(parseSignAgent, withMember(operationText, "chainId", "1"))).to.have.property("chainId", 1);
  });

  it("is malformed as JSON, or without its key", () => {
    for (const text of [operationText, payloadText]) {
      for (const { name, edit } of MALFORMED_JSON)
        expect(read(parseSignAgent, edit(text)), name).to.equal("request_malformed");
      for (const keyId of [undefined, ...NO_KEY_ID])
        expect(read(parseSignAgent, withMember(text, "keyId", keyId)), keyId).to.equal("request_malformed");
    }
  });

  it("is nothing that can be signed with any other member missing or of another form", () => {
    const rows: readonly (readonly [string, Readonly<Record<string, readonly string[]>>])[] = [
      [operationText, { userOperation: NO_TEXT, entryPoint: NO_ADDRESS, chainId: notWhole(31337).slice(0, 6) }],
      [
        payloadText,
        {
          payload: notBytes32(PAYLOAD),
          algorithm: [...NO_TEXT, `"EIP191-32"`, `"eip191"`, `"eip712"`, `"raw"`, `"secp256k1"`],
          accountAddress: NO_ADDRESS,
        },
      ],
    ];
    for (const [text, members] of rows) {
      for (const [member, values] of Object.entries(members)) {
        for (const value of [undefined, ...values]) {
          const answer = read(parseSignAgent, withMember(text, member, value));
          expect(answer, `${member}: ${value ?? "missing"}`).to.equal("payload_invalid");
        }
      }
    }
  });

  it("takes payloads of 32 bytes only", () => {
    for (const length of [0, 1, 20, 31, 33, 64, 65, 1024]) {
      const payload = `"0x${"cd".repeat(length)}"`;
      expect(read(parseSignAgent, withMember(payloadText, "payload", payload)), `${length}`).to.equal(
        "payload_invalid",
      );
    }
  });

  it("takes no digest, typed data, message, transaction or authorization, alone or beside what it takes", () => {
    const typedData = JSON.stringify({ domain: {}, types: {}, primaryType: "Permit", message: {} });
    const authorization = JSON.stringify({ chainId: 1, address: ACCOUNT, nonce: 0 });
    const extra: Readonly<Record<string, string>> = {
      digest: `"${PAYLOAD}"`,
      hash: `"${PAYLOAD}"`,
      userOpHash: `"${PAYLOAD}"`,
      message: `"0x1234"`,
      typedData,
      types: "{}",
      transaction: `"0x02"`,
      rawTransaction: `"0x02"`,
      authorization,
      authorizationList: `[${authorization}]`,
      eip7702Auth: authorization,
      claims: "{}",
      signingInput: `"a.b"`,
      PAYLOAD: `"${PAYLOAD}"`,
      unheardOf: "1",
    };
    for (const [member, value] of Object.entries(extra)) {
      const alone = `{"keyId":"${KEY_ID}","${member}":${value}}`;
      for (const text of [alone, withMember(operationText, member, value), withMember(payloadText, member, value)])
        expect(read(parseSignAgent, text), text).to.equal("payload_invalid");
    }
    expect(read(parseSignAgent, JSON.stringify({ ...signOperation, ...signPayload }))).to.equal("payload_invalid");
    expect(read(parseSignAgent, `{"keyId":"${KEY_ID}"}`)).to.equal("payload_invalid");
    // the operation's own members are the operation's, and a delegation is none of them
    const inside = withMember(JSON.stringify(signOperation.userOperation), "eip7702Auth", authorization);
    expect(read(parseSignAgent, withMember(operationText, "userOperation", inside))).to.equal("payload_invalid");
  });

  it("answers any bytes with a value", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(read(parseSignAgent, Buffer.from(bytes))).to.equal("request_malformed");
      }),
    );
  });
});

describe("wire: key ids", () => {
  it("are a uuid of version 8 and an index", () => {
    expect(readKeyId(KEY_ID)).to.deep.equal({ walletId: WALLET_ID, index: 7 });
    expect(readKeyId(`${WALLET_ID}:0`)).to.deep.equal({ walletId: WALLET_ID, index: 0 });
    expect(readKeyId(`${WALLET_ID}:2147483647`)).to.deep.equal({ walletId: WALLET_ID, index: 2_147_483_647 });
    for (const text of NO_KEY_ID) expect(readKeyId(JSON.parse(text)), text).to.equal(undefined);
  });
});
