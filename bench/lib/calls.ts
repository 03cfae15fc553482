import { Agent, request } from "node:http";

const TIMEOUT_MS = 30_000;

/** Milliseconds of one GET over a kept-alive connection, its answer read whole; throws where it is not 200. */
export function caller(headers: Readonly<Record<string, string>>): {
  call(url: string): Promise<number>;
  close(): void;
} {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, timeout: TIMEOUT_MS });
  return {
    call: (url) =>
      new Promise((resolve, reject) => {
        const started = performance.now();
        const call = request(url, { agent, headers }, (answer) => {
          answer.resume().once("end", () => {
            if (answer.statusCode === 200) resolve(performance.now() - started);
            else reject(new Error(`${url}: ${String(answer.statusCode)}`));
          });
        });
        call.once("error", reject);
        call.once("timeout", () => call.destroy(new Error(`${url}: no answer in ${String(TIMEOUT_MS)} ms`)));
        call.end();
      }),
    close: () => {
      agent.destroy();
    },
  };
}
