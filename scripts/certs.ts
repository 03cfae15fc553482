import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { makeCertificates } from "./lib/certificates";

/** `npm run certs -- [--dir .agentkeys/certs] [--force] [--json]`: a CA and SPIFFE-style certificates for mTLS. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { dir: { type: "string" }, force: { type: "boolean" }, json: { type: "boolean" } },
  });
  const dir = resolve(values.dir ?? join(".agentkeys", "certs"));
  const made = await makeCertificates({ dir, force: values.force ?? false });
  if (values.json === true) console.log(JSON.stringify(made));
  else {
    console.log(`Certificates for mutual TLS between the services, in ${dir}`);
    for (const one of made.certificates)
      console.log(`  ${one.made ? "made" : "kept"}  ${one.id}  until ${one.notAfter}`);
    console.log(
      "Keys have mode 0600. Certificates with less than a third of their life left are made anew by the next run.",
    );
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
