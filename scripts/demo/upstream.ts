import { timingSafeEqual } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

/** An HTTPS API that answers only to the real key, as a model provider would. */
export interface Upstream {
  readonly url: string;
  /** How many requests carried the real key, and how many did not. */
  readonly served: { readonly accepted: number; readonly refused: number };
  stop(): Promise<void>;
}

/** Starts the upstream on a free port of 127.0.0.1. */
export async function startUpstream(
  certificate: { readonly cert: string; readonly key: string },
  apiKey: string,
): Promise<Upstream> {
  const served = { accepted: 0, refused: 0 };
  const wanted = Buffer.from(`Bearer ${apiKey}`);
  const server = createServer(certificate, (request, response) => {
    const given = Buffer.from(request.headers.authorization ?? "");
    const accepted = given.length === wanted.length && timingSafeEqual(given, wanted);
    served[accepted ? "accepted" : "refused"] += 1;
    request.resume();
    response.writeHead(accepted ? 200 : 401, { "content-type": "application/json" });
    response.end(
      JSON.stringify(accepted ? { answer: "The answer is 42.", path: request.url } : { error: "invalid_api_key" }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://localhost:${String((server.address() as AddressInfo).port)}`,
    served,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
