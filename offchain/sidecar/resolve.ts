import { lookup } from "node:dns";
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
for (const [network, bits] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  PRIVATE.addSubnet(network, bits, "ipv6");
}

/** True for loopback, private, link-local, metadata and other addresses that are no public host. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  // BlockList holds IPv4-mapped IPv6 addresses against its IPv4 rules
  return family === 0 || PRIVATE.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** Resolves once and connects only to an address that was checked: what the name means later is not asked again. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
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
