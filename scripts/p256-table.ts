import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { generatorTableSource } from "./lib/p256-table";

writeFileSync(join(__dirname, "..", "contracts", "libraries", "P256GeneratorTable.sol"), generatorTableSource());
