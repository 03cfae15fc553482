import { type LookupAddress, type LookupAllOptions, lookup } from "node:dns";
import { BlockList, type LookupFunction, isIP } from "node:net";

const PRIVATE = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const) {
  PRIVATE.addSubnet(network, bits, "ipv4");
}

/** Global unicast, the only part of IPv6 where public hosts are; and what in it is not one. @see RFC 4291 §2.4 */
const MAPPED = new BlockList();
MAPPED.addSubnet("0.0.0.0", 0, "ipv4");
const GLOBAL6 = new BlockList();
GLOBAL6.addSubnet("2000::", 3, "ipv6");
for (const [network, bits] of [
  ["2001::", 23], // protocol assignments, Teredo among them
  ["2001:db8::", 32],
  ["2002::", 16], // 6to4 names an IPv4 address
] as const) {
  PRIVATE.addSubnet(network, bits, "ipv6");
}

/** True for loopback, private, link-local, metadata and other addresses that are no public host. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return PRIVATE.check(address, "ipv4");
  if (family === 0 || address.includes("%")) return true;
  // BlockList holds IPv4-mapped IPv6 addresses against its IPv4 rules
  const isMapped = MAPPED.check(address, "ipv6");
  return PRIVATE.check(address, "ipv6") || !(isMapped || GLOBAL6.check(address, "ipv6"));
}

/** Where a name's addresses come from: `dns.lookup`, or what behaves like it. */
export type LookupAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Resolves once and connects only to an address that was checked: what the name means later is not asked again. */
export function publicLookup(resolve: LookupAll = lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const found = addresses.filter((one) => !isPrivateAddress(one.address));
      const [first] = found;
      if (first === undefined) {
        callback(Object.assign(new Error("the upstream's name has no public address"), { code: "EPRIVATE" }), []);
      } else if (options.all === true) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
}
