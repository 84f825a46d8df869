/** A mount's status for people. */
import type { MountStatus } from "./mount-status.ts";

/** A heading line and a few lines of words and numbers. */
export function describeMount(mount: MountStatus): string {
  const lines = [`${mount.mountPoint}  ${mount.source}  ${mount.state}`, ...engineLines(mount)];
  if (mount.problem !== undefined) lines.push(row("problem", mount.problem));
  lines.push(row("state", mount.stateDir));
  if (mount.logFile !== undefined) lines.push(row("log", mount.logFile));
  return lines.join("\n");
}

function engineLines(mount: MountStatus): string[] {
  const { cache, requests, errors, store } = mount;
  if (cache === undefined) return mount.supervisorPid === undefined ? [] : [row("processes", `supervisor ${mount.supervisorPid}`)];
  const looks = cache.hits + cache.misses;
  const hitRate = looks === 0 ? "" : `, ${Math.round((100 * cache.hits) / looks)} % hits`;
  const lacks = Object.entries(store ?? {}).flatMap(([name, has]) => (has ? [] : [name]));
  return [
    row(
      "processes",
      `engine ${mount.pid} since ${mount.startedAt}, ${formatBytes(mount.rssBytes ?? 0)}; supervisor ${mount.supervisorPid}; ${mount.restarts} restarts`,
    ),
    row("unsent", `${mount.dirtyFiles} files, ${formatBytes(mount.dirtyBytes ?? 0)}`),
    row("open", `${mount.openHandles} handles, ${mount.inodes} inodes known, passthrough ${mount.passthrough ? "on" : "off"}`),
    row("cache", `${formatBytes(cache.bytes)} of ${formatBytes(cache.limitBytes)} in ${cache.files} files${hitRate}`),
    row("requests", counts(requests)),
    row("errors", `${counts(errors)}; ${mount.retries} retries`),
    ...(lacks.length === 0 ? [] : [row("store lacks", lacks.join(", "))]),
  ];
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(11)} ${text}`;
}

function counts(table: Readonly<Record<string, number>> = {}): string {
  const parts = Object.entries(table).flatMap(([name, count]) => (count === 0 ? [] : [`${name} ${count}`]));
  return parts.length === 0 ? "none" : parts.join(", ");
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Powers of 1024, three digits. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const scaled = bytes / 1024 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(3).replace(/\.?0+$/, "")} ${UNITS[power]}`;
}
