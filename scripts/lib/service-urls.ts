import { readFile } from "node:fs/promises";

import type { ClientOptions } from "../../offchain/client/client";
import { isJsonObject, readJsonObject } from "../../offchain/wire/json";
import { type DataClass, isDataClass } from "../../offchain/wire/names";
import { isOrigin } from "../../offchain/wire/origin";
import { UsageError } from "./networks";
import { type Values, required, text } from "./program";

/** The options of a program that speaks to broker and workers. */
export const SERVICE_OPTIONS = {
  broker: { type: "string" },
  workers: { type: "string" },
  ca: { type: "string" },
} as const;

/** Their description. */
export const SERVICE_USAGE = `  --broker URL        the broker's public base URL
  --workers LIST      the workers', e.g. credentials=https://creds.example.org,memory=https://…
  --ca FILE           PEM of the services' CA, where it is none of the system's`;

/** Broker and workers by the options, else as a `--stack` file names them. @throws UsageError */
export async function serviceUrls(values: Values): Promise<Pick<ClientOptions, "urls" | "ca">> {
  const stackFile = text(values, "stack");
  const stack = stackFile === undefined ? undefined : await stackUrls(stackFile);
  const broker = text(values, "broker") ?? stack?.broker ?? required(values, "broker");
  const workers = text(values, "workers");
  const worker = workers === undefined ? (stack?.worker ?? listed(required(values, "workers"))) : listed(workers);
  for (const url of [broker, ...Object.values(worker)]) {
    if (!isOrigin(url)) throw new UsageError(`${url} is no origin: https (http on loopback only), no trailing slash`);
  }
  const ca = text(values, "ca");
  return { urls: { broker, worker }, ...(ca === undefined ? {} : { ca: await readFile(ca) }) };
}

type WorkerUrls = Readonly<Partial<Record<DataClass, string>>>;

function listed(list: string): WorkerUrls {
  const pairs = list.split(",").map((item) => {
    const at = item.indexOf("=");
    const dataClass = item.slice(0, Math.max(at, 0)).trim();
    if (!isDataClass(dataClass)) throw new UsageError("--workers is a list of class=URL");
    return [dataClass, item.slice(at + 1).trim()] as const;
  });
  return Object.fromEntries(pairs);
}

async function stackUrls(file: string): Promise<{ readonly broker: string; readonly worker: WorkerUrls }> {
  const read = readJsonObject(await readFile(file));
  const urls = read.ok ? read.value["urls"] : undefined;
  const { broker, worker } = isJsonObject(urls) ? urls : {};
  if (typeof broker !== "string" || !isJsonObject(worker)) throw new UsageError(`${file} names no services`);
  const pairs = Object.entries(worker).filter(
    (pair): pair is [DataClass, string] => isDataClass(pair[0]) && typeof pair[1] === "string",
  );
  return { broker, worker: Object.fromEntries(pairs) };
}
