import { createSocket } from "node:dgram";
import { once } from "node:events";

/** A real DNS server (RFC 1035 over UDP) that may answer each question differently. */
export interface DnsServer {
  /** `address:port`, as `Resolver.setServers` takes it. */
  readonly at: string;
  /** Names that were asked for, in order. */
  readonly asked: string[];
  stop(): Promise<void>;
}

const TYPE_A = 1;

/** Starts one on loopback; `answer` gives the IPv4 addresses for the n-th question (from 0) of type A. */
export async function dnsServer(answer: (n: number) => readonly string[]): Promise<DnsServer> {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString("latin1"));
      at += 1 + length;
    }
    const question = query.subarray(12, at + 5);
    const addresses = query.readUInt16BE(at + 1) === TYPE_A ? answer(asked.length) : [];
    if (query.readUInt16BE(at + 1) === TYPE_A) asked.push(labels.join("."));
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(addresses.length, 6);
    const records = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
    );
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    at: `127.0.0.1:${String(socket.address().port)}`,
    asked,
    async stop() {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}
