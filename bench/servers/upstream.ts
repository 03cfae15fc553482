import { createServer } from "node:http";

/** An API that answers a small JSON document to whoever shows the credential, and 401 to everybody else. */
const wanted = process.env["BENCH_AUTHORIZATION"] ?? "";

const server = createServer((request, response) => {
  request.resume();
  const isKnown = request.headers.authorization?.startsWith(wanted) === true;
  const body = JSON.stringify(isKnown ? { answer: "The answer is 42." } : { error: "invalid_api_key" });
  response.writeHead(isKnown ? 200 : 401, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
});
server.listen(Number(process.env["BENCH_PORT"]), "127.0.0.1");
process.on("SIGTERM", () => process.exit());
