import { existsSync, readFileSync } from "node:fs";

import { expect } from "chai";

describe("docs/audit-checklist.md", () => {
  // `file` "title", "another title of it"
  const named = [
    ...readFileSync("docs/audit-checklist.md", "utf8").matchAll(/`([\w./-]+\.(?:ts|sol))`((?:,? "[^"]+")+)/g),
  ].flatMap(([, file = "", titles = ""]) =>
    [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file: `test/${file}`, title })),
  );

  it("names tests that exist", () => {
    expect(named.length).to.be.greaterThan(40);
    expect(named.filter(({ file, title }) => !isIn(file, title))).to.deep.equal([]);
  });

  it("would notice one that does not", () => {
    expect(isIn("test/contracts/account/WebAuthn.test.ts", "refuses: everything")).to.equal(false);
    expect(isIn("test/invariants/Account.t.sol", "test_nothing")).to.equal(false);
    expect(isIn("test/contracts/account/Gone.test.ts", "refuses: everything")).to.equal(false);
  });
});

/** A title as it stands, or made from a table of cases as "refuses: <key>", or a function of an invariant suite. */
function isIn(file: string, title: string): boolean {
  if (!existsSync(file)) return false;
  const inherited = file.endsWith(".t.sol") ? readFileSync("test/invariants/support/InvariantTest.sol", "utf8") : "";
  const source = readFileSync(file, "utf8") + inherited;
  const [, verb = "", key = ""] = /^(\w+): (.+)$/.exec(title) ?? [];
  const isCase = source.includes(`it(\`${verb}: \${name}\``) && source.includes(`"${key}": {`);
  return isCase || source.includes(`it("${title}"`) || source.includes(`function ${title}(`);
}
