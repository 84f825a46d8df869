/** Access ACLs as their extended attribute has them (<linux/posix_acl_xattr.h>): a version, then tag, permissions and id of each entry. */

export const ACCESS_ACL = "system.posix_acl_access";

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** <linux/posix_acl.h>; named users and groups have tags of their own, which change no bit of the mode. */
const [USER_OBJ, GROUP_OBJ, MASK, OTHER] = [0x01, 0x04, 0x10, 0x20];

export interface AccessAcl {
  /** The permission bits that say the same, or, where there are named users or groups, the most that anybody gets (acl(5)). */
  readonly mode: number;
  /** The mode says all of it. */
  readonly minimal: boolean;
}

/** Undefined for what is no access ACL. */
export function readAccessAcl(value: Uint8Array): AccessAcl | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.byteLength < HEADER_BYTES || (value.byteLength - HEADER_BYTES) % ENTRY_BYTES !== 0) return undefined;
  if (view.getUint32(0, true) !== VERSION) return undefined;
  const permissions = new Map<number, number>();
  for (let at = HEADER_BYTES; at < value.byteLength; at += ENTRY_BYTES) {
    permissions.set(view.getUint16(at, true), view.getUint16(at + 2, true) & 0o7);
  }
  const [user, group, other] = [permissions.get(USER_OBJ), permissions.get(GROUP_OBJ), permissions.get(OTHER)];
  if (user === undefined || group === undefined || other === undefined) return undefined;
  return { mode: (user << 6) | ((permissions.get(MASK) ?? group) << 3) | other, minimal: permissions.size === 3 };
}
