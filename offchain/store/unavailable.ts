/** A store that did not answer, or that can no longer promise what it is relied on for. Its text goes to the log only. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}
