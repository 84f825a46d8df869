/**
 * POSIX ACLs as their extended attributes have them (<linux/posix_acl_xattr.h>): a version, then tag, permissions and id of each entry.
 * What acl(5) says of an ACL and the mode, as the kernel's fs/posix_acl.c does it for file systems on disks.
 */

export const ACCESS_ACL = "system.posix_acl_access";
export const DEFAULT_ACL = "system.posix_acl_default";

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** <linux/posix_acl.h>; named users and groups have tags of their own, which change no bit of the mode. */
const [USER_OBJ, GROUP_OBJ, MASK, OTHER] = [0x01, 0x04, 0x10, 0x20];
/** A mode's bits that an ACL speaks of: no set-user-id and the like. */
export const ACL_BITS = 0o777;

export interface AccessAcl {
  /** The permission bits that say the same, or, where there are named users or groups, the most that anybody gets (acl(5)). */
  readonly mode: number;
  /** The mode says all of it. */
  readonly minimal: boolean;
}

/** The entries' places by their tags; of named users and groups the last one's. Undefined for what is no ACL. */
function readEntries(value: Uint8Array): Map<number, number> | undefined {
  const view = viewOf(value);
  if (value.byteLength < HEADER_BYTES || (value.byteLength - HEADER_BYTES) % ENTRY_BYTES !== 0) return undefined;
  if (view.getUint32(0, true) !== VERSION) return undefined;
  const places = new Map<number, number>();
  for (let at = HEADER_BYTES; at < value.byteLength; at += ENTRY_BYTES) places.set(view.getUint16(at, true), at);
  return [USER_OBJ, GROUP_OBJ, OTHER].every((tag) => places.has(tag)) ? places : undefined;
}

function viewOf(value: Uint8Array): DataView {
  return new DataView(value.buffer, value.byteOffset, value.byteLength);
}

/** The entries that stand for the mode's three digits, with the shift of each. The mask stands for the group's where there is one. */
function modeEntries(places: ReadonlyMap<number, number>): { readonly at: number; readonly shift: number }[] {
  return [
    { at: places.get(USER_OBJ) as number, shift: 6 },
    { at: (places.get(MASK) ?? places.get(GROUP_OBJ)) as number, shift: 3 },
    { at: places.get(OTHER) as number, shift: 0 },
  ];
}

/** Undefined for what is no access ACL. */
export function readAccessAcl(value: Uint8Array): AccessAcl | undefined {
  const places = readEntries(value);
  if (places === undefined) return undefined;
  const view = viewOf(value);
  const mode = modeEntries(places).reduce((bits, { at, shift }) => bits | ((view.getUint16(at + 2, true) & 0o7) << shift), 0);
  return { mode, minimal: places.size === 3 };
}

/** The access ACL as chmod(2) to `mode` leaves it. What is no ACL stays as it is. */
export function aclWithMode(value: Uint8Array, mode: number): Uint8Array {
  const places = readEntries(value);
  if (places === undefined) return value;
  const changed = Uint8Array.from(value); // of a Buffer, slice is no copy
  for (const { at, shift } of modeEntries(places)) viewOf(changed).setUint16(at + 2, (mode >> shift) & 0o7, true);
  return changed;
}

export interface Inherited {
  readonly mode: number;
  /** Undefined where the mode says all of it. */
  readonly acl: Uint8Array | undefined;
}

/**
 * What something made with `mode` gets in a directory with this default ACL: of the ACL what the mode allows. The umask has no part in it
 * (acl(5), "Object creation and default ACLs"). Undefined for what is no ACL.
 */
export function inheritAcl(defaultAcl: Uint8Array, mode: number): Inherited | undefined {
  const wanted = readAccessAcl(defaultAcl);
  if (wanted === undefined) return undefined;
  const inherited = (mode & ~ACL_BITS) | (mode & wanted.mode);
  return { mode: inherited, acl: wanted.minimal ? undefined : aclWithMode(defaultAcl, inherited) };
}
