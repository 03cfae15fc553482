/** Asks again and again until it is so; fails after a time that no working service needs. */
export async function eventually(isSo: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(`not so within ${withinMs} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
