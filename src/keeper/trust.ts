/** Root and this process's own user: who else is at the other end of a socket gets nothing. */
export function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}
