import type { TlsFiles, TlsTexts } from "../../offchain/http/tls-files";

/** Certificates that never change. */
export function fixedTls(texts: TlsTexts): TlsFiles {
  return { current: () => texts, onChange: () => undefined, close: () => undefined };
}
