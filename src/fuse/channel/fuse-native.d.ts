/** What is used of the optional package `fuse-native`, which has no types of its own. Errors are negative errno numbers. */
declare module "fuse-native" {
  /** Every operation ends with its callback; 32 bits hold times in milliseconds, owners and handles. */
  export type Operations = Readonly<Record<string, (...args: never[]) => void>>;

  export interface Options {
    allowOther?: boolean;
    defaultPermissions?: boolean;
    fsname?: string;
    subtype?: string;
    /** Per operation, milliseconds; false: none. */
    timeout?: number | false;
  }

  // biome-ignore lint/style/noDefaultExport: it is how the package exports it
  export default class Fuse {
    constructor(mountPoint: string, operations: Operations, options: Options);
    mount(callback: (error: Error | null) => void): void;
  }
}
