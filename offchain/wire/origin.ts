/**
 * True for a service's public base URL as `target` is made of it: https (http only on loopback), A-label host in
 * lower case, no userinfo, query, fragment or trailing slash; a path prefix may follow. @see protocol 3.2
 */
export function isOrigin(text: string): boolean {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return false;
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopbackHost(url.hostname))) return false;
  if (text.endsWith("/") || url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    return false;
  return text === url.origin || text === url.origin + url.pathname;
}

/** True for an origin whose host is this machine. */
export function isLoopbackOrigin(origin: string): boolean {
  return isLoopbackHost(new URL(origin).hostname);
}

/** True for `localhost`, 127.0.0.0/8 and ::1 as a URL spells them. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127(\.[0-9]{1,3}){3}$/.test(host);
}
