import { Agent, createServer, request as httpRequest } from "node:http";
import { pipeline } from "node:stream";

/** The peer of a cached sidecar call: a plain Node proxy that sets one header and pipes both ways; nothing is checked. */
const upstream = new URL(process.env["BENCH_UPSTREAM"] ?? "");
const authorization = `${process.env["BENCH_AUTHORIZATION"] ?? ""}-proxy`;
const agent = new Agent({ keepAlive: true });

const server = createServer((request, response) => {
  const headers = { ...request.headers, authorization, host: upstream.host };
  delete headers.connection;
  const onward = httpRequest(
    {
      agent,
      host: upstream.hostname,
      port: upstream.port,
      path: request.url,
      method: request.method,
      headers,
    },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      pipeline(answer, response, () => undefined);
    },
  );
  onward.on("error", () => response.destroy());
  pipeline(request, onward, () => undefined);
});
server.listen(Number(process.env["BENCH_PORT"]), "127.0.0.1");
process.on("SIGTERM", () => process.exit());
