/**
 * The agent of the demo: a process of its own that knows a socket and a placeholder. It calls the upstream through the
 * sidecar, keeps everything that it received, and writes a heap snapshot of itself, so that the demo can search all of
 * it for the real key. Prints one JSON line.
 */
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { writeHeapSnapshot } from "node:v8";

interface Received {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

function call(socketPath: string, path: string, placeholder: string): Promise<Received> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${placeholder}`, "content-type": "application/json" };
    const outgoing = request({ socketPath, path, method: "POST", headers }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.rawHeaders, body });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(JSON.stringify({ question: "What is the answer?" }));
  });
}

async function main(): Promise<void> {
  const [socketPath = "", path = "", placeholder = "", directory = "."] = process.argv.slice(2);
  const received = await call(socketPath, path, placeholder);
  writeFileSync(`${directory}/environment.json`, JSON.stringify(process.env));
  writeFileSync(`${directory}/received.json`, JSON.stringify(received));
  writeHeapSnapshot(`${directory}/memory.heapsnapshot`);
  console.log(JSON.stringify({ status: received.status, body: received.body }));
}

void main();
