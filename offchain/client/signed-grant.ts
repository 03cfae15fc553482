import { TypedDataEncoder, type TypedDataDomain, type TypedDataField, concat, randomBytes, toBeHex } from "ethers";

import type { Deployment } from "../chain/deployment";
import { type Hex, fromHex, toHex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type Authenticator, encodeAssertion } from "./authenticator";
import { type Session, contractSession } from "./sessions";

/** A grant that its owner signed, which anyone may bring to the chain once, until its deadline. */
export interface SignedGrant {
  readonly account: Hex;
  readonly session: Session;
  /** Used up by the grant, or by `cancelNonce`. */
  readonly nonce: bigint;
  /** Unix seconds. */
  readonly deadline: number;
  /** The account's, by ERC-7739. */
  readonly signature: Hex;
}

type Types = Record<string, TypedDataField[]>;

const field = (text: string): TypedDataField[] =>
  text.split(",").map((one) => {
    const [type = "", name = ""] = one.split(" ");
    return { type, name };
  });

const GRANT_TYPES: Types = {
  GrantSession: field("address account,uint32 generation,uint256 nonce,uint256 deadline,Session session"),
  Session: field(
    "bytes32 actorOmni,address key,uint32 validAfter,uint32 validUntil,uint24 windowSeconds,uint16 callsPerWindow," +
      "uint32 gasPerOperationGwei,uint40 gasTotalGwei,address paymaster,uint40 paymasterTotalGwei,Rule[] rules," +
      "TokenLimit[] tokenLimits",
  ),
  Rule: field("address target,bytes4 selector,uint80 valuePerCall,uint80 valueTotal,Predicate[] predicates"),
  Predicate: field("uint16 word,uint8 comparison,bytes32 value"),
  TokenLimit: field("address token,uint128 total"),
};
const NESTED = field(
  "GrantSession contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt",
);

/** What is signed, beside the session itself. */
export interface GrantTerms {
  readonly deployment: Deployment;
  readonly account: Hex;
  /** How many times the account revoked everything: `generationOf`. */
  readonly generation: number;
  readonly nonce: bigint;
  /** Unix seconds. */
  readonly deadline: number;
}

/** The EIP-712 digest of a grant, as the validator's `grantDigest` computes it. */
export function grantDigest(session: Session, terms: GrantTerms): Hex {
  return TypedDataEncoder.hash(domainOf(terms), GRANT_TYPES, contentsOf(session, terms)) as Hex;
}

/** A nonce that nobody has used. */
export function newGrantNonce(): bigint {
  return BigInt(toHex(randomBytes(32)));
}

/**
 * Has the owner sign a grant in one tap, without an operation and without gas: the digest nested for the account and
 * its chain, so that the passkey's other accounts are not bound. @see ERC-7739
 * @param shown what the session allows, one line each, for the owner's eyes
 */
export async function signGrant(
  session: Session,
  terms: GrantTerms,
  authenticator: Authenticator,
  shown: readonly string[],
): Promise<Result<SignedGrant>> {
  const { account, nonce, deadline, deployment } = terms;
  if (session.key === account) return refuse("request_malformed", "A session's key is not the account.");
  const contents = contentsOf(session, terms);
  const nested = {
    contents,
    name: "AgentKeys MasterAccount",
    version: "1",
    chainId: deployment.chainId,
    verifyingContract: account,
    salt: toBeHex(0, 32),
  };
  const hash = TypedDataEncoder.hash(domainOf(terms), { ...GRANT_TYPES, TypedDataSign: NESTED }, nested) as Hex;
  const assertion = await authenticator.getAssertion(fromHex(hash), shown);
  if (!assertion.ok) return assertion;
  const own = encodeAssertion(authenticator.credential, fromHex(hash), assertion.value);
  if (!own.ok) return own;
  const type = Buffer.from(TypedDataEncoder.from(GRANT_TYPES).encodeType("GrantSession"));
  const signature = concat([
    own.value,
    TypedDataEncoder.hashDomain(domainOf(terms)),
    TypedDataEncoder.hashStruct("GrantSession", GRANT_TYPES, contents),
    type,
    toBeHex(type.length, 2),
  ]) as Hex;
  return ok({ account, session, nonce, deadline, signature });
}

function domainOf({ deployment }: GrantTerms): TypedDataDomain {
  const { chainId, contracts } = deployment;
  return {
    name: "AgentKeys SessionKeyValidator",
    version: "1",
    chainId,
    verifyingContract: contracts.SessionKeyValidator,
  };
}

function contentsOf(session: Session, { account, generation, nonce, deadline }: GrantTerms): Record<string, unknown> {
  return { account, generation, nonce, deadline, session: contractSession(session) };
}
