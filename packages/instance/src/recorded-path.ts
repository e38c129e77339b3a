/** An absolute-form target (RFC 9112 section 3.2.2); what stands before the path may hold a password. */
const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is;
/** The ids below these are values of cookies as well, and after a login worth a code. */
const PRIVATE_TAIL = /^(\/+(?:authorize|interaction))(?:\/|%2f)+.+$/is;

/**
 * Returns what a record may say of a request target: its path and nothing else, neither query, fragment nor authority, and not the
 * ids that the authorization server puts into paths. Undefined for a target that names no path.
 */
export function recordedPath(target: string): string | undefined {
  const path = target.startsWith("/") ? target : pathOf(target);
  if (path === undefined) return undefined;
  const end = path.search(/[?#]/);
  return (end === -1 ? path : path.slice(0, end)).replace(PRIVATE_TAIL, "$1/…");
}

function pathOf(target: string): string | undefined {
  const [, rest] = ABSOLUTE_FORM.exec(target) ?? [];
  if (rest === undefined) return undefined;
  return rest.startsWith("/") ? rest : "/";
}
