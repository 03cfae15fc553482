import { join } from "node:path";

import { fileReplay } from "../../offchain/store/file-replay";
import { memoryReplay } from "../../offchain/store/memory-replay";
import type { ReplayStore } from "../../offchain/store/replay";

/** `BENCH_REPLAY`: `memory`, as the peers have it, or `durable`, our default (group commit before the answer). */
export async function benchReplay(stateDir: string, now: () => number): Promise<ReplayStore> {
  if (process.env["BENCH_REPLAY"] === "memory") return memoryReplay({ now, fenced: false });
  return fileReplay({ file: join(stateDir, "replay", "seen"), now });
}
