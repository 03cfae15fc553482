import type { Result } from "../wire/result";

/** Something that must answer before requests should come; a refusal says what is missing. */
export type Probe = () => Promise<Result<unknown>>;

const CACHED_MS = 1_000;

/** Asks every probe, at most once a second; the first refusal answers. */
export function readiness(probes: Readonly<Record<string, Probe>>): Probe {
  let last: { readonly at: number; readonly answer: Promise<Result<unknown>> } | undefined;
  return () => {
    const at = performance.now();
    if (last === undefined || at - last.at > CACHED_MS) last = { at, answer: askAll(probes) };
    return last.answer;
  };
}

async function askAll(probes: Readonly<Record<string, Probe>>): Promise<Result<unknown>> {
  const answers = await Promise.all(
    Object.entries(probes).map(async ([name, probe]) => {
      const answer = await probe();
      if (answer.ok) return answer;
      const { failure } = answer;
      return { ok: false as const, failure: { ...failure, detail: `${name}: ${failure.detail}` } };
    }),
  );
  return answers.find((one) => !one.ok) ?? { ok: true, value: { ready: true } };
}
