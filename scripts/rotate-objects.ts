import { readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

import { type ChainReader, chainReader } from "../offchain/chain/reader";
import { type ClientOptions, type ObjectWish, createClient } from "../offchain/client/client";
import { type DeviceKey, deviceKeyAt } from "../offchain/client/device-key-file";
import { type RotationReport, rotateEagerly } from "../offchain/client/eager-rotation";
import { memoryMarks, namesInMarks } from "../offchain/client/high-water-marks";
import { distinct, nameOf, parseObjectNames } from "../offchain/client/object-names";
import { fileRecord } from "../offchain/client/rotation-record";
import { type Hex, isAddressHex, isBytes32 } from "../offchain/wire/bytes";
import { keccakReady } from "../offchain/wire/keccak";
import { operatorOmni } from "../offchain/wire/names";
import type { Result } from "../offchain/wire/result";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, type Place, findPlace } from "./lib/operator-program";
import { progress } from "./lib/progress";
import { type Values, type Voice, orRefuse, required, runProgram, text } from "./lib/program";
import { SERVICE_OPTIONS, SERVICE_USAGE, serviceUrls } from "./lib/service-urls";

const { network, rpc, stack, deployment, state } = OPERATOR_OPTIONS;

const USAGE = `npm run rotate -- --eager --operator ACCOUNT (--names FILE | --marks FILE) [options]

Re-encrypts an operator's objects under the current K3 epoch, by rotate caps of one of its master devices; nothing is
decrypted here. Safe beside live reads and writes. Broken off (Ctrl-C, a crash, an outage) it goes on from where it was
when it is run again; what it did to no known end it does again, which changes nothing that is read.

  --eager             now; without it objects move when they are next stored
  --operator ACCOUNT  the master account, or its operator_omni
  --names FILE        one object a line: "actor class service", actor an actor_omni or an agent's label
  --marks FILE        what a device has seen (its SIDECAR_MARKS_FILE); both may be given
  --device-key FILE   key of a master device (register-master-k10), by default k10.key in the state folder
  --concurrency N     objects at a time, 1 to 32, by default 4
  --again             forgets what earlier runs have done in this epoch, e.g. after a worker was restored from a backup
${SERVICE_USAGE}
  --network NAME      hardhat's localhost (default), heima, base, baseSepolia or custom
  --rpc URL           another RPC than the network's own
  --stack FILE        a local stack's .agentkeys/stack.json instead of --network and the services' URLs
  --deployment FILE   addresses, by default deployments/<chainId>.json
  --state DIR         by default .agentkeys/operator; what was done is kept in its folder rotation
  --json              one line of JSON instead of sentences

Exits with 0 when every object that exists is at the current epoch, 1 when some are not, 2 when it was misused.`;

const OPTIONS = {
  ...{ network, rpc, stack, deployment, state, ...SERVICE_OPTIONS },
  eager: { type: "boolean" },
  operator: { type: "string" },
  names: { type: "string" },
  marks: { type: "string" },
  "device-key": { type: "string" },
  concurrency: { type: "string" },
  again: { type: "boolean" },
} as const;

void runProgram({
  usage: USAGE,
  options: OPTIONS,
  argv: process.argv.slice(2),
  async run(values, voice) {
    if (values["eager"] !== true)
      throw new UsageError("objects move when they are next stored; --eager moves them now");
    const operator = operatorOf(required(values, "operator"));
    const concurrency = concurrencyOf(text(values, "concurrency") ?? "4");
    const names = await namesOf(values, operator);
    const place = await findPlace(values, false);
    const services = await serviceUrls(values);
    await keccakReady();
    const device = await existingDevice(text(values, "device-key") ?? join(place.stateDir, "k10.key"));
    const chain = openReader(place);
    try {
      await rotate({ values, voice, place, services, operator, concurrency, names, device, chain });
    } finally {
      await chain.close();
    }
  },
});

interface Rotation {
  readonly values: Values;
  readonly voice: Voice;
  readonly place: Place;
  readonly services: Pick<ClientOptions, "urls" | "ca">;
  readonly operator: Hex;
  readonly concurrency: number;
  readonly names: readonly ObjectWish[];
  readonly device: DeviceKey;
  readonly chain: ChainReader;
}

async function rotate(rotation: Rotation): Promise<void> {
  const { voice, place, services, operator, concurrency, names, device, chain } = rotation;
  const { chainId, contracts } = place.deployment;
  const client = await createClient({
    ...services,
    device,
    operatorOmni: operator,
    domain: { chainId, registry: contracts.SidecarRegistry.toLowerCase() as Hex },
    chain,
    marks: memoryMarks(),
    now,
  });
  const stop = new AbortController();
  // a second Ctrl-C ends the program at once, which is safe too
  process.once("SIGINT", () => {
    stop.abort();
    bar.end();
    console.error("Stopping: what is under way ends first. Ctrl-C again stops at once.");
  });
  const bar = progress(voice);
  voice.say(`${String(names.length)} objects of ${operator}, by device ${device.address}.`);
  try {
    const report = orRefuse(
      await rotateEagerly({
        client,
        currentEpoch: () => currentEpoch(rotation),
        recordOf: (epoch) => recordOf(rotation, epoch),
        names,
        concurrency,
        signal: stop.signal,
        onProgress: ({ total, before, rotated, missing, failed }) => {
          bar.show(before + rotated + missing + failed, total, failed === 0 ? "" : `${String(failed)} refused`);
        },
      }),
    );
    bar.end();
    finish(report, names.length, voice);
  } finally {
    bar.end();
    await client.close();
  }
}

/** Named by the epoch's commitment, so that a record never speaks of another chain's epoch of the same number. */
async function recordOf({ values, chain, operator, place }: Rotation, epoch: number): ReturnType<typeof fileRecord> {
  const commitment = orRefuse(await chain.k3Commitment(epoch));
  const name = `${String(epoch)}-${commitment.slice(2, 18)}-${operator.slice(2, 18)}.done`;
  const file = join(place.stateDir, "rotation", name);
  if (values["again"] === true) await rm(file, { force: true });
  return fileRecord(file);
}

async function currentEpoch({ chain, operator, device, names }: Rotation): Promise<Result<number>> {
  const [some = { actorOmni: operator, dataClass: "credentials", service: "any" }] = names;
  const facts = await chain.access({ ...some, operatorOmni: operator, deviceKeyHash: device.deviceKeyHash });
  return facts.ok ? { ok: true, value: facts.value.k3Epoch } : facts;
}

function finish(report: RotationReport, total: number, voice: Voice): void {
  const { epoch, rotated, before, missing, failed, left, stopped } = report;
  const isDone = failed.length === 0 && left === 0;
  if (!isDone) process.exitCode = 1;
  const why = stopped === undefined || stopped === "interrupted" ? stopped : `${stopped.detail} [${stopped.code}]`;
  const lines = [
    ...missing.map((wish) => `nothing is stored: ${nameOf(wish)}`),
    ...failed.map(({ wish, failure }) => `${failure.detail} [${failure.code}]: ${nameOf(wish)}`),
    `Epoch ${String(epoch)}: ${String(rotated)} rotated, ${String(before)} by earlier runs, ${String(missing.length)} ` +
      `not stored, ${String(failed.length)} refused, ${String(left)} left, of ${String(total)}.`,
    ...(why === undefined ? [] : [`Stopped: ${why}.`]),
    ...(isDone ? [] : ["Run it again: it goes on from here."]),
  ];
  const outcome = {
    ok: isDone,
    ...(stopped === undefined ? {} : stopped === "interrupted" ? { code: stopped } : { code: stopped.code }),
    ...{ epoch, total, rotated, before, left },
    missing: missing.map(nameOf),
    failed: failed.map(({ wish, failure }) => ({ object: nameOf(wish), code: failure.code, detail: failure.detail })),
  };
  voice.finish(outcome, lines);
}

function now(): number {
  return Math.floor(Date.now() / 1_000);
}

function operatorOf(given: string): Hex {
  const operator = given.toLowerCase();
  if (isBytes32(operator)) return operator;
  if (isAddressHex(operator)) return operatorOmni(operator);
  throw new UsageError("--operator is the master account (0x and 40 hex digits) or its omni (0x and 64)");
}

function concurrencyOf(given: string): number {
  if (!/^[1-9][0-9]?$/.test(given) || Number(given) > 32) throw new UsageError("--concurrency is 1 to 32");
  return Number(given);
}

async function namesOf(values: Values, operator: Hex): Promise<readonly ObjectWish[]> {
  const [list, marks] = [text(values, "names"), text(values, "marks")];
  if (list === undefined && marks === undefined) throw new UsageError("--names or --marks says which objects");
  const found: ObjectWish[] = [];
  if (list !== undefined) {
    const content = await readFile(resolve(list), "utf8").catch(() => {
      throw new UsageError(`${list} cannot be read`);
    });
    const parsed = parseObjectNames(content, operator);
    if (!parsed.ok) throw new UsageError(`${list}: ${parsed.failure.detail}`);
    found.push(...parsed.value);
  }
  if (marks !== undefined) {
    const seen = await namesInMarks(resolve(marks));
    found.push(...seen.filter((one) => one.operatorOmni === operator));
  }
  return distinct(found);
}

/** A device key that is there already: a new one would be nobody's. */
async function existingDevice(file: string): Promise<DeviceKey> {
  await readFile(file).catch(() => {
    throw new UsageError(`${file} is missing: --device-key FILE, or "npm run register-master-k10" first`);
  });
  return deviceKeyAt(file);
}

function openReader({ rpcUrl, deployment: { chainId, contracts }, profile }: Place): ChainReader {
  const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = contracts;
  return chainReader({
    rpcUrls: [rpcUrl],
    quorum: 1,
    chainId,
    contracts: {
      sidecarRegistry: SidecarRegistry.toLowerCase() as Hex,
      scopeRegistry: ScopeRegistry.toLowerCase() as Hex,
      k3EpochCounter: K3EpochCounter.toLowerCase() as Hex,
    },
    profile: profile.name,
    now,
  });
}
