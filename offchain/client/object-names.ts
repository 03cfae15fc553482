import type { Hex } from "../wire/bytes";
import { isBytes32 } from "../wire/bytes";
import { actorOmni, isDataClass, isLabel, isService, objectPath } from "../wire/names";
import { type Result, ok, refuse } from "../wire/result";
import type { ObjectWish } from "./client";

/**
 * Reads a list of objects: one a line, `actor class service`, in any run of spaces. `actor` is an `actor_omni`, or the
 * label of one of the operator's agents. Empty lines and those that begin with `#` are passed over.
 * @returns `request_malformed` that counts the lines from 1
 */
export function parseObjectNames(text: string, operatorOmni: Hex): Result<readonly ObjectWish[]> {
  const wishes: ObjectWish[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [actor = "", dataClass, service, ...more] = line.trim().split(/\s+/);
    const omni = isBytes32(actor) ? actor : isLabel(actor) ? actorOmni(operatorOmni, actor) : undefined;
    if (omni === undefined || !isDataClass(dataClass) || !isService(service) || more.length > 0) {
      return refuse("request_malformed", `Line ${String(i + 1)} is not "actor class service".`);
    }
    wishes.push({ actorOmni: omni, dataClass, service });
  }
  return ok(wishes);
}

/** Each object once, in the order of its first appearance. */
export function distinct(wishes: Iterable<ObjectWish>): readonly ObjectWish[] {
  return [...new Map([...wishes].map((wish) => [nameOf(wish), wish])).values()];
}

/** One text for one object of an operator: its path in the store. @see protocol 3.6 */
export function nameOf({ actorOmni: actor, dataClass, service }: ObjectWish): string {
  return objectPath(actor, dataClass, service);
}
