import { open } from "node:fs/promises";

type Method = "appendFile" | "datasync" | "sync" | "writeFile" | "truncate";

type FileMethods = Record<string, (...args: unknown[]) => Promise<unknown>>;

/** Makes one method of every open file fail, as a full or broken disk does, until `heal` is called. */
export async function failingFiles(method: Method, code = "ENOSPC"): Promise<{ heal(): void; readonly calls: number }> {
  const probe = await open("/dev/null", "r");
  const prototype = Object.getPrototypeOf(probe) as FileMethods;
  await probe.close();
  const real = prototype[method];
  if (real === undefined) throw new Error(`files have no ${method}`);
  let calls = 0;
  prototype[method] = () => {
    calls += 1;
    return Promise.reject(Object.assign(new Error(`${code}: injected`), { code }));
  };
  return {
    heal() {
      prototype[method] = real;
    },
    get calls() {
      return calls;
    },
  };
}
