/**
 * Tags of an object through a rewrite. HEAD and GET say only how many there are, and only to who may read them; a PUT has to be told them
 * all, or the new version has none. So what replaces an object with tags asks for them first (GetObjectTagging).
 */
import { isFault } from "#core/errors.ts";
import { encodeStrict } from "./address.ts";
import type { S3Http } from "./http.ts";
import type { CallOptions, ObjectHeaders } from "./object-store.ts";
import { scanXml } from "./xml.ts";

/**
 * Runs `write` with the request header that gives the tags of `source` to what is written, or with none where `headers` do not speak of any.
 * A key that may not read or write tags, or a server without them, writes without: the content matters more.
 */
export async function withTagsOf<T>(
  http: S3Http,
  source: string,
  headers: ObjectHeaders | undefined,
  options: CallOptions,
  write: (tagging: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  if (!headers?.tagCount) return write({});
  const tagging = await taggingOf(http, source, options);
  if (tagging === "") return write({});
  try {
    return await write({ "x-amz-tagging": tagging });
  } catch (error) {
    if (!isFault(error, "denied", "not_implemented")) throw error;
    return write({});
  }
}

/** The tags as `x-amz-tagging` has them; "" for none. */
async function taggingOf(http: S3Http, key: string, { signal, deadlineMs }: CallOptions): Promise<string> {
  try {
    const { body } = await http.send({ operation: "GetObjectTagging", key, query: { tagging: "" } }, { signal, deadlineMs });
    return parseTagging(body.toString("utf8"));
  } catch (error) {
    if (isFault(error, "denied", "not_implemented", "not_found")) return "";
    throw error;
  }
}

/** `<Tag><Key>a</Key><Value>1 2</Value></Tag>...` as `a=1%202&...`. */
export function parseTagging(xml: string): string {
  const tags: string[] = [];
  let tag: Record<string, string> = {};
  scanXml(
    xml,
    (name, text, parent) => {
      if (parent === "Tag") tag[name] = text;
    },
    (name) => {
      if (name !== "Tag") return;
      tags.push(`${encodeStrict(tag["Key"] ?? "")}=${encodeStrict(tag["Value"] ?? "")}`);
      tag = {};
    },
  );
  return tags.join("&");
}
