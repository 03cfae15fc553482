import { access } from "node:fs/promises";
import { join } from "node:path";

import type { Authenticator, PasskeyCredential } from "../../offchain/client/authenticator";
import { readPrivate, writePrivate } from "../../offchain/client/private-file";
import { softwareAuthenticatorAt } from "../../offchain/client/software-authenticator";
import { type Hex, fromBase64url, isBytes32, toBase64url } from "../../offchain/wire/bytes";
import { UsageError } from "./networks";
import type { Place } from "./operator-program";
import { type PasskeyPage, openPasskeyPage } from "./passkey-page";
import { type Values, type Voice, Refused, orRefuse, text } from "./program";

/** A passkey that can be asked, and a page to close afterwards. */
export interface OpenPasskey {
  readonly authenticator: Authenticator;
  /** Says the last word on the page, where there is one. */
  close(lastWord: string): Promise<void>;
}

/** What the state folder remembers of a passkey in a browser: its public half. */
interface StoredCredential {
  readonly credentialId: string;
  readonly rpId: string;
  readonly x: Hex;
  readonly y: Hex;
}

const SOFTWARE_FILE = "passkey.json";
const BROWSER_FILE = "credential.json";

/** Whether a state folder knows a passkey of either kind. */
export async function hasPasskey(stateDir: string): Promise<boolean> {
  return (await exists(join(stateDir, SOFTWARE_FILE))) || exists(join(stateDir, BROWSER_FILE));
}

/** The passkey of the state folder, or a new one where register-master may make it. */
export async function openPasskey(options: {
  readonly values: Values;
  readonly voice: Voice;
  readonly place: Pick<Place, "stateDir" | "profile"> & { readonly deployment: Pick<Place["deployment"], "chainId"> };
  readonly mayMake: boolean;
}): Promise<OpenPasskey> {
  const { values, voice, place, mayMake } = options;
  const wantsSoftware = values["software"] === true;
  const wantsBrowser = values["browser"] === true;
  if (wantsSoftware && wantsBrowser) throw new UsageError("--browser and --software exclude each other");
  const softwareFile = join(place.stateDir, SOFTWARE_FILE);
  const browserFile = join(place.stateDir, BROWSER_FILE);
  const hasSoftware = await exists(softwareFile);
  const hasBrowser = await exists(browserFile);
  if ((hasSoftware && wantsBrowser) || (hasBrowser && wantsSoftware)) {
    throw new UsageError(`${place.stateDir} belongs to a passkey of the other kind: use another --state.`);
  }

  if (hasSoftware || wantsSoftware) {
    // before a key is made, so that nothing is left behind
    if (place.profile.production) {
      throw new Refused(
        "caller_not_allowed",
        `A software passkey is refused on chain ${place.deployment.chainId}, which holds real value.`,
      );
    }
    if (!hasSoftware && !mayMake) throw notYet();
    if (!hasSoftware) voice.say(`A new software passkey, for development only, in ${softwareFile}.`);
    const authenticator = aloud(await softwareAuthenticatorAt(softwareFile), voice);
    return { authenticator, close: () => Promise.resolve() };
  }

  if (!hasBrowser && !mayMake) throw notYet();
  if (!hasBrowser && !wantsBrowser) throw new UsageError("Say --browser, or --software for development.");
  return openBrowserPasskey(browserFile, hasBrowser, text(values, "port"));
}

/** Says what a passkey in a file signs, since nobody is asked. */
function aloud(inner: Authenticator, voice: Voice): Authenticator {
  return {
    ...inner,
    getAssertion(challenge, shown) {
      for (const line of shown) voice.say(`Signing: ${line}`);
      return inner.getAssertion(challenge, shown);
    },
  };
}

function notYet(): UsageError {
  return new UsageError("There is no passkey in the state folder: run register-master first.");
}

/** The page is opened at the first ceremony: a program that finds nothing to do shows none. */
async function openBrowserPasskey(file: string, isKnown: boolean, port: string | undefined): Promise<OpenPasskey> {
  let opened: PasskeyPage | undefined;
  const page = async (): Promise<PasskeyPage> => {
    if (opened === undefined) {
      opened = await openPasskeyPage(port === undefined ? 0 : Number(port));
      // not on standard output, which --json keeps for its one line
      console.error(`Open this page in a browser on this machine:\n\n  ${opened.url}\n`);
    }
    return opened;
  };
  const close = async (lastWord: string): Promise<void> => opened?.close(lastWord);
  try {
    const credential = isKnown
      ? parseCredential(await readPrivate(file), file)
      : orRefuse(await (await page()).create());
    if (!isKnown) await writePrivate(file, `${JSON.stringify(storedForm(credential))}\n`);
    const authenticator: Authenticator = {
      credential,
      isSoftware: false,
      getAssertion: async (challenge, shown) => (await page()).get(credential, challenge, shown),
    };
    return { authenticator, close };
  } catch (error) {
    await close("The program has ended. This page can be closed.");
    throw error;
  }
}

function storedForm({ credentialId, rpId, x, y }: PasskeyCredential): StoredCredential {
  return { credentialId: toBase64url(credentialId), rpId, x, y };
}

function parseCredential(content: string | undefined, file: string): PasskeyCredential {
  const { credentialId, rpId, x, y } = JSON.parse(content ?? "{}") as Partial<StoredCredential>;
  const id = fromBase64url(credentialId);
  if (id === undefined || typeof rpId !== "string" || !isBytes32(x) || !isBytes32(y)) {
    throw new UsageError(`${file} is not a credential of ours`);
  }
  return { credentialId: id, rpId, x, y };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
