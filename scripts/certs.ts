import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { addCa, dropOldCas, makeCertificates } from "./lib/certificates";

/**
 * `npm run certs -- [--dir .agentkeys/certs] [--force | --new-ca | --drop-old-ca] [--json]`: a CA and SPIFFE-style
 * certificates for mTLS, and the first and last step of a CA's rollover.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      dir: { type: "string" },
      force: { type: "boolean", default: false },
      "new-ca": { type: "boolean", default: false },
      "drop-old-ca": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const { force, "new-ca": isFirst, "drop-old-ca": isLast } = values;
  if ([force, isFirst, isLast].filter(Boolean).length > 1)
    throw new Error("--force, --new-ca, --drop-old-ca: one of them");
  const dir = resolve(values.dir ?? join(".agentkeys", "certs"));
  if (isFirst || isLast) {
    if (isFirst) await addCa(dir);
    else dropOldCas(dir);
    if (values.json) console.log(JSON.stringify({ dir }));
    else
      console.log(
        `Hand out ${join(dir, "ca.pem")} to every service. ${isFirst ? "Then run certs without --new-ca." : ""}`,
      );
    return;
  }
  const made = await makeCertificates({ dir, force });
  if (values.json) console.log(JSON.stringify(made));
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
