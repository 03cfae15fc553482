import { type ErrorDescription, Interface } from "ethers";

import {
  IAccountRecovery__factory,
  IK3EpochCounter__factory,
  IOperatorPaymaster__factory,
  IScopeRegistry__factory,
  ISessionKeyValidator__factory,
  ISidecarRegistry__factory,
} from "../../typechain-types";
import type { ProblemCode } from "../wire/problem";
import { type Failure, failure } from "../wire/result";

/** What a custom error of the registries means in the words of the protocol. Matched by name, never by message text. */
const CONTRACT_PROBLEMS: Readonly<Record<string, { readonly code: ProblemCode; readonly detail: string }>> = {
  NotMaster: { code: "caller_not_allowed", detail: "The account is not the master of this operator." },
  AccountAlreadyUsed: { code: "caller_not_allowed", detail: "The account has, or once had, an operator." },
  OperatorUnknown: { code: "caller_not_allowed", detail: "There is no such operator." },
  OperatorIsFrozen: { code: "operator_frozen", detail: "The operator is frozen: unfreeze it first." },
  OperatorNotFrozen: { code: "request_malformed", detail: "The operator is not frozen." },
  DeadlinePassed: { code: "request_malformed", detail: "The device's signature is past its deadline." },
  DeadlineTooFar: { code: "request_malformed", detail: "The deadline lies too far ahead." },
  SignerMismatch: { code: "cap_pop_invalid", detail: "The device's signature is not for this registration." },
  InvalidRoles: { code: "request_malformed", detail: "Those roles cannot be given." },
  InvalidLabel: { code: "request_malformed", detail: "A label is 1 to 32 of a-z, 0-9 and -." },
  DeviceAlreadyRegistered: {
    code: "caller_not_allowed",
    detail: "This device key was registered before, and serves once.",
  },
  DeviceNotRegistered: { code: "device_not_active", detail: "The device was never registered." },
  DeviceNotActive: { code: "device_revoked", detail: "The device has been revoked." },
  DeviceNotOfOperator: { code: "device_binding_mismatch", detail: "The device belongs to another operator." },
  DeviceBindingMismatch: { code: "device_binding_mismatch", detail: "The device does not act for this actor." },
  DeviceRoleMissing: { code: "device_role_missing", detail: "The device lacks the role." },
  DeviceNotMasterTier: { code: "device_role_missing", detail: "Only a master device can do this." },
  ActorNotOfOperator: { code: "device_binding_mismatch", detail: "The actor belongs to another operator." },
  ActorNotLive: { code: "device_binding_mismatch", detail: "The actor has no live device." },
  InvalidNewMaster: { code: "request_malformed", detail: "The operator cannot be transferred to that account." },
  NoTransferAnnounced: { code: "request_malformed", detail: "No transfer of this operator was announced." },
  NotNewMaster: { code: "caller_not_allowed", detail: "The transfer was announced for another account." },
  TransferTooEarly: {
    code: "caller_not_allowed",
    detail: "A transfer can be accepted 48 hours after it was announced.",
  },
  RecoveryIsPending: {
    code: "caller_not_allowed",
    detail: "Guardians are recovering the account: nothing can be changed or passed on before that is over.",
  },
  InvalidDataClass: { code: "request_malformed", detail: "A class is 1 credentials, 2 memory or 3 config." },
  InvalidOps: { code: "request_malformed", detail: "A grant needs at least one operation, and only known ones." },
  InvalidValidUntil: { code: "request_malformed", detail: "A grant's end lies in the future and below 2^40." },
  GrantUnknown: { code: "service_not_in_scope", detail: "There is no such grant." },
  InvalidCommitment: { code: "request_malformed", detail: "An epoch's commitment is not zero." },
  AdvancedTooSoon: { code: "caller_not_allowed", detail: "The epoch advances at most once an hour." },
  NotAContract: { code: "request_malformed", detail: "There is no contract at that address." },
  OwnershipNotRenounceable: { code: "caller_not_allowed", detail: "Governance can be handed over, not given up." },
  OwnableUnauthorizedAccount: { code: "caller_not_allowed", detail: "Only the contract's owner may do this." },
  BudgetExceeded: { code: "caller_not_allowed", detail: "The account's budget at the paymaster is used up for now." },
  InvalidBudget: {
    code: "request_malformed",
    detail: "A budget is an account's, has a window, and ends in the future and below 2^47.",
  },
  InvalidSponsor: { code: "request_malformed", detail: "A sponsor is an address that is not one already." },
  NotSponsor: { code: "request_malformed", detail: "That address is no sponsor of the paymaster." },
  RecoveryPending: {
    code: "caller_not_allowed",
    detail: "A recovery of the account is pending: cancel it or wait for its end.",
  },
  KeyNotAllowed: { code: "request_malformed", detail: "No session can be granted to that key." },
  TimesInvalid: {
    code: "request_malformed",
    detail: "A session ends after it begins, after now, and at most 7 days after now.",
  },
  RateInvalid: { code: "request_malformed", detail: "A window has 60 to 604,800 seconds and at least one call." },
  TargetNotAllowed: { code: "request_malformed", detail: "A session may not call that contract, or that function." },
  RuleRepeated: { code: "request_malformed", detail: "A session has one rule for each contract and function." },
  PredicatesInvalid: { code: "request_malformed", detail: "The conditions of a rule cannot be kept." },
  TokenLimitInvalid: { code: "request_malformed", detail: "A token has one limit, above zero." },
  TooManySessions: { code: "rate_limited", detail: "The account has 50 live sessions: revoke one first." },
  NonceNotFresh: { code: "request_malformed", detail: "The signed grant was used or cancelled." },
  SignatureNotAccepted: { code: "caller_not_allowed", detail: "The account did not sign this grant." },
  SessionNotLive: { code: "caller_not_allowed", detail: "The key has no session that is live." },
  InitCodeNotAllowed: { code: "payload_invalid", detail: "A session's operation deploys no account." },
  CallDataNotCanonical: { code: "payload_invalid", detail: "The calldata are not those of a session's operation." },
  WindowNotAllowed: { code: "payload_invalid", detail: "The operation names a window outside of the session." },
  PaymasterNotAllowed: { code: "payload_invalid", detail: "The paymaster is not the session's." },
  RuleUnknown: { code: "payload_invalid", detail: "No rule of the session allows this call." },
  PredicateFailed: { code: "payload_invalid", detail: "A parameter of the call is not what the session's rule asks." },
  RegistryInvalid: { code: "request_malformed", detail: "There is no registry at that address." },
  RecoveryNotConfigured: { code: "caller_not_allowed", detail: "The account has no guardians." },
  RecoveryAlreadyConfigured: {
    code: "caller_not_allowed",
    detail: "The account has guardians: another configuration is announced, and waits for the delay.",
  },
  RecoveryNotPending: { code: "caller_not_allowed", detail: "No recovery of this account is pending." },
  GuardianInvalid: {
    code: "request_malformed",
    detail: "A guardian is another address than the account, or a verifier that is a contract, before a key.",
  },
  GuardianRepeated: { code: "request_malformed", detail: "A guardian is named twice." },
  TooManyGuardians: { code: "request_malformed", detail: "An account has at most 16 guardians." },
  ThresholdInvalid: { code: "request_malformed", detail: "A threshold is 1 to the number of guardians." },
  DelayInvalid: { code: "request_malformed", detail: "A delay is 24 hours to 14 days, and 0 to switch off." },
  ChangeAlreadyScheduled: { code: "caller_not_allowed", detail: "This change is announced already." },
  ChangeNotScheduled: { code: "caller_not_allowed", detail: "This change is not announced, or was dropped." },
  TooEarly: { code: "caller_not_allowed", detail: "The delay is not over." },
  TooFewSignatures: { code: "caller_not_allowed", detail: "Too few guardians have consented." },
  GuardianUnknown: { code: "caller_not_allowed", detail: "The account has no such guardian." },
  GuardiansNotAscending: { code: "request_malformed", detail: "A guardian has consented twice, or out of order." },
  GuardianSignatureInvalid: { code: "caller_not_allowed", detail: "A consent is not that guardian's, or not to this." },
  NotBeforeInvalid: {
    code: "request_malformed",
    detail: "A recovery is finished after the delay from now, and at most 7 days later.",
  },
  NoPasskeys: { code: "request_malformed", detail: "A recovery leaves at least one passkey." },
  NewPasskeysMismatch: { code: "request_malformed", detail: "The recovery was started with other passkeys." },
  CancelledRecently: {
    code: "caller_not_allowed",
    detail: "A passkey cancels once in 30 days; guardians at any time.",
  },
  LimitExceeded: { code: "payload_invalid", detail: "The operation wants more than the session has left." },
};

const OWNABLE = new Interface(["error OwnableUnauthorizedAccount(address account)"]);
const CONTRACTS: readonly Interface[] = [
  ISidecarRegistry__factory.createInterface(),
  IScopeRegistry__factory.createInterface(),
  IK3EpochCounter__factory.createInterface(),
  IOperatorPaymaster__factory.createInterface(),
  ISessionKeyValidator__factory.createInterface(),
  IAccountRecovery__factory.createInterface(),
  OWNABLE,
];

/** Name and values of a custom error of ours, from the data of a revert; undefined for any other. */
export function contractError(data: string): ErrorDescription | undefined {
  for (const contract of CONTRACTS) {
    if (contract.getError(data.slice(0, 10)) === null || BUILT_IN.has(data.slice(0, 10))) continue;
    try {
      return contract.parseError(data) ?? undefined;
    } catch {
      return undefined; // our selector before values that are not its own
    }
  }
  return undefined;
}

// Error(string) and Panic(uint256)
const BUILT_IN: ReadonlySet<string> = new Set(["0x08c379a0", "0x4e487b71"]);

/** The refusal behind the data of a revert; `internal_error` naming the error's selector where the table has none. */
export function contractFailure(data: string): Failure {
  const name = contractError(data)?.name;
  const problem = name === undefined ? undefined : CONTRACT_PROBLEMS[name];
  if (problem === undefined)
    return failure("internal_error", `The contract reverted with ${name ?? data.slice(0, 10)}.`);
  return failure(problem.code, problem.detail);
}

/** Every name in the table, for the test that compares it with the interfaces. */
export function namesOfContractProblems(): readonly string[] {
  return Object.keys(CONTRACT_PROBLEMS);
}
