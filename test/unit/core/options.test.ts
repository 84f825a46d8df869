import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isFault } from "#core/errors.ts";
import { MOUNT_OPTIONS, nearest, parseBytes, parseMountOptions, resolveMountOptions } from "#core/options.ts";

const WHO = { uid: 1000, gid: 1001 };

/** The message of the `bad_argument` that `run` throws. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isFault(error, "bad_argument")) return error.message;
    throw error;
  }
  throw new Error("was not refused");
}

describe("parseMountOptions", () => {
  test("`parseMountOptions` understands an s3fs line when it is taken over from fstab", () => {
    const line =
      "_netdev,allow_other,url=http://minio:9000,endpoint=eu-west-1,use_path_request_style,use_cache=/c,passwd_file=/etc/p,uid=5,gid=6,umask=0022,use_rrs,nodev,rw";
    expect(parseMountOptions([line])).toEqual({
      allow_other: true,
      url: "http://minio:9000",
      region: "eu-west-1",
      use_path_request_style: true,
      use_cache: "/c",
      passwd_file: "/etc/p",
      uid: 5,
      gid: 6,
      umask: 0o22,
      storage_class: "REDUCED_REDUNDANCY",
      nodev: true,
      ro: false,
    });
  });

  test("`parseMountOptions` takes `endpoint` as the endpoint when it holds a URL", () => {
    expect(parseMountOptions(["endpoint=https://s3.example"])).toEqual({ url: "https://s3.example" });
  });

  test("`parseMountOptions` lets the later word win when two speak of the same thing", () => {
    expect(parseMountOptions(["ro,rw", "ro"])).toEqual({ ro: true });
    expect(parseMountOptions(["metadata-ttl=3,metadata_ttl=0.25"])).toEqual({ metadata_ttl: 250 });
  });

  test("`parseMountOptions` skips mount(8)'s and systemd's words when they stand in fstab", () => {
    expect(parseMountOptions(["defaults,noauto,nofail,_netdev,x-systemd.automount,x-gvfs-show,comment=hello"])).toEqual({});
  });

  test("`parseMountOptions` keeps a label together when its commas are quoted", () => {
    const given = parseMountOptions(['context="system_u:object_r:t:s0:c1,c2",ro']);
    expect(given.ro).toBe(true);
    expect(resolveMountOptions(given, WHO).kernelOptions).toEqual(['context="system_u:object_r:t:s0:c1,c2"']);
  });

  test("`parseMountOptions` takes a label with and without quotes for the same, categories included", () => {
    const kernelOptions = (...lists: string[]) => resolveMountOptions(parseMountOptions(lists), WHO).kernelOptions;
    expect(kernelOptions('context="a:b:c:s0:c1,c2.c5"')).toEqual(kernelOptions("ro,context=a:b:c:s0:c1,c2.c5,noexec"));
    expect(kernelOptions('context="a:b:c:s0"', "context=a:b:c:s0")).toEqual(["context=a:b:c:s0"]);
    expect(refusal(() => parseMountOptions(["context=a:b:c:s0,c2x"]))).toContain('"c2x"');
  });

  test("`parseMountOptions` refuses two labels for one mount and names both", () => {
    expect(refusal(() => parseMountOptions(['context="a:b:c:s0:c1,c2"', "context=a:b:c:s0"]))).toBe(
      'mount option "context" is given twice: "a:b:c:s0:c1,c2" and "a:b:c:s0"',
    );
  });

  test("`parseMountOptions` names the word and a near one when it is unknown", () => {
    expect(refusal(() => parseMountOptions(["allow_ohter"]))).toBe('unknown mount option "allow_ohter": did you mean "allow_other"?');
    expect(refusal(() => parseMountOptions(["zzzzzzzz"]))).toBe('unknown mount option "zzzzzzzz"');
    expect(parseMountOptions(["zzzzzzzz,ro"], { sloppy: true })).toEqual({ ro: true });
  });

  test.each([
    ["uid=bob", "uid"],
    ["uid=4294967295", "uid"],
    ["umask=9", "umask"],
    ["metadata_ttl=-1", "metadata_ttl"],
    ["metadata_ttl", "metadata_ttl"],
    ["cache_size=lots", "cache_size"],
    ["passthrough=maybe", "passthrough"],
    ["ro=perhaps", "ro"],
    ["url=", "url"],
  ])("`parseMountOptions` names the option when its value is wrong: %s", (word, name) => {
    expect(refusal(() => parseMountOptions([word]))).toContain(name);
  });

  test("`parseMountOptions` parses or refuses with `bad_argument` when it is given any text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseMountOptions([text]);
        } catch (error) {
          expect(isFault(error, "bad_argument")).toBe(true);
        }
      }),
    );
  });
});

describe("resolveMountOptions", () => {
  test("`resolveMountOptions` gives safe defaults when nothing was said", () => {
    expect(resolveMountOptions({}, WHO)).toEqual({
      readOnly: false,
      allowOther: false,
      uid: 1000,
      gid: 1001,
      umask: 0,
      acl: false,
      fileMode: 0o644,
      dirMode: 0o755,
      metadataTtlMs: 1000,
      durability: "remote",
      passthrough: "auto",
      channel: "dev-fuse",
      noSuid: true,
      noDev: true,
      noExec: false,
      kernelOptions: [],
    });
  });

  test("`resolveMountOptions` takes the umask from the default modes when one is given", () => {
    expect(resolveMountOptions(parseMountOptions(["umask=077"]), WHO)).toMatchObject({ umask: 0o77, fileMode: 0o600, dirMode: 0o700 });
    expect(resolveMountOptions(parseMountOptions(["umask=077,file_mode=0640"]), WHO)).toMatchObject({ fileMode: 0o640 });
  });

  test("`resolveMountOptions` takes acl and noacl, and refuses ACLs on a channel that cannot enforce them", () => {
    expect(resolveMountOptions(parseMountOptions(["acl"]), WHO)).toMatchObject({ acl: true });
    expect(resolveMountOptions(parseMountOptions(["acl,noacl"]), WHO)).toMatchObject({ acl: false });
    expect(() => resolveMountOptions(parseMountOptions(["acl,channel=fuse-native"]), WHO)).toThrow(/"acl" needs channel=dev-fuse/);
  });

  test.each(["local", "remote"])("`resolveMountOptions` takes durability=%s as it was given", (durability) => {
    expect(resolveMountOptions(parseMountOptions([`durability=${durability}`]), WHO)).toMatchObject({ durability });
  });
});

describe("parseBytes", () => {
  test.each([
    ["0", 0],
    ["1234", 1234],
    ["20G", 20e9],
    ["1.5T", 1.5e12],
    ["512Mi", 512 * 2 ** 20],
    ["1GiB", 2 ** 30],
    ["3kb", 3000],
  ])("`parseBytes` reads %s as it is meant", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(["", "G", "-1", "1X", "1e9", "9999999P"])("`parseBytes` refuses %j", (text) => {
    expect(refusal(() => parseBytes(text))).toContain("not a size");
  });
});

test("`MOUNT_OPTIONS` gives each word one meaning when names and aliases are put together", () => {
  const words = Object.entries(MOUNT_OPTIONS).flatMap(([name, row]) => [name, ...("aliases" in row ? row.aliases : [])]);
  expect(new Set(words).size).toBe(words.length);
});

test("`nearest` has no answer when every candidate is far", () => {
  expect(nearest("abc", ["xyz", "allow_other"])).toBeUndefined();
});
