import { Transform, type TransformCallback } from "node:stream";

const REDACTED = Buffer.from("[redacted]");

/** Replaces a secret wherever it stands in a stream, also across chunk borders; holds back less than the secret's length. */
export function redactor(secret: Buffer): Transform {
  let held = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      const [clean, rest] = replaceAll(held.length === 0 ? chunk : Buffer.concat([held, chunk]), secret);
      const keep = partialMatch(rest, secret);
      held = Buffer.from(rest.subarray(rest.length - keep));
      done(null, Buffer.concat([...clean, rest.subarray(0, rest.length - keep)]));
    },
    flush(done: TransformCallback) {
      done(null, held);
    },
  });
}

/** The same for one text, such as a header's value. */
export function redactText(text: string, secret: string): string {
  return text.includes(secret) ? text.split(secret).join(REDACTED.toString()) : text;
}

/** What is finished, and what follows the last match. */
function replaceAll(bytes: Buffer, secret: Buffer): [Buffer[], Buffer] {
  const clean: Buffer[] = [];
  let rest = bytes;
  for (let at = rest.indexOf(secret); at >= 0; at = rest.indexOf(secret)) {
    clean.push(rest.subarray(0, at), REDACTED);
    rest = rest.subarray(at + secret.length);
  }
  return [clean, rest];
}

/** How many of the last bytes may be the start of the secret. */
function partialMatch(bytes: Buffer, secret: Buffer): number {
  for (let length = Math.min(secret.length - 1, bytes.length); length > 0; length -= 1) {
    if (bytes.subarray(bytes.length - length).equals(secret.subarray(0, length))) return length;
  }
  return 0;
}
