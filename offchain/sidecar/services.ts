import { readFileSync } from "node:fs";

import { isJsonObject, readJsonObject } from "../wire/json";
import { isService } from "../wire/names";
import { isConnectionHeader } from "./headers";

/** One upstream that callers reach by its service's name. */
export interface UpstreamEntry {
  readonly service: string;
  /** Pinned: scheme, host, port and path prefix; https, or http where the entry allows a private address. */
  readonly upstream: URL;
  /** Lower-case name of the header that carries the credential. */
  readonly header: string;
  /** The header's value, `{credential}` standing for the credential. */
  readonly format: string;
  /** PEM in place of the system's roots. */
  readonly ca: Buffer | undefined;
  /** Private and loopback addresses are refused unless the entry allows them. */
  readonly allowPrivate: boolean;
}

const HEADER = /^[a-z0-9-]+$/;

/**
 * Reads the file of entries: `{ "<service>": { "upstream", "header"?, "format"?, "ca_file"?, "allow_private"? } }`. Throws
 * an Error that names the entry and the member.
 */
export function readServices(file: string): ReadonlyMap<string, UpstreamEntry> {
  const read = readJsonObject(readFileSync(file));
  if (!read.ok) throw new Error(`${file}: ${read.failure.detail}`);
  const entries = new Map<string, UpstreamEntry>();
  for (const [service, entry] of Object.entries(read.value)) {
    const wrong = (what: string): Error => new Error(`${file}: ${service}: ${what}`);
    if (!isService(service)) throw wrong("is no service name");
    if (!isJsonObject(entry)) throw wrong("is no object");
    const { upstream, header = "authorization", format = "Bearer {credential}", ca_file, allow_private } = entry;
    if (typeof upstream !== "string" || !URL.canParse(upstream)) throw wrong("upstream is no URL");
    if (typeof header !== "string" || !HEADER.test(header)) throw wrong("header is no lower-case header name");
    if (isConnectionHeader(header)) throw wrong("header belongs to the connection");
    if (typeof format !== "string" || !format.includes("{credential}")) throw wrong("format lacks {credential}");
    if (!/^[\x20-\x7e]+$/.test(format)) throw wrong("format is not printable ASCII");
    if (ca_file !== undefined && typeof ca_file !== "string") throw wrong("ca_file is no path");
    if (allow_private !== undefined && typeof allow_private !== "boolean") throw wrong("allow_private is no boolean");
    const url = new URL(upstream);
    const isPlain = url.protocol === "http:" && allow_private === true;
    if (url.protocol !== "https:" && !isPlain) throw wrong("upstream must be https");
    const extras = [url.search, url.hash, url.username, url.password];
    if (extras.some((one) => one !== "")) throw wrong("upstream is more than origin and path");
    const ca = ca_file === undefined ? undefined : readFileSync(ca_file);
    entries.set(service, { service, upstream: url, header, format, ca, allowPrivate: allow_private === true });
  }
  return entries;
}
