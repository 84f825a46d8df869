/** What a reader of a failed run needs of a cluster that is gone when it is read. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

const COMMANDS: Readonly<Record<string, string>> = {
  pods: "kubectl get pods,pvc,pv -A -o wide",
  "warnings, and what the driver told":
    "kubectl get events -A --sort-by=.lastTimestamp | grep -vE 'Normal +(Pulled|Created|Started|Scheduled|Killing|Node|Provisioning |External|Successful)|MissingClusterDNS|CgroupV1' | tail -40",
  ...Object.fromEntries(
    ["controller", "node", "keeper"].map((component) => [
      `log of the ${component}`,
      `kubectl logs -n bucketmount -l app.kubernetes.io/component=${component} --all-containers --prefix --tail=60 | grep -vE 'envvar|feature_gate'`,
    ]),
  ),
  "previous log of the node plugin":
    "kubectl logs -n bucketmount -l app.kubernetes.io/component=node --all-containers --prefix --previous --tail=20",
  mounts: "grep fuse /proc/self/mountinfo || true",
};
/** What it says about cgroup v1, and of containers that are gone. */
const KUBELETS_NOISE = /cgroup|oom score|RemoveContainer|ContainerStatus from runtime|Error on socket receive/;
/** An event or a log line may carry a whole request. */
const LONGEST_LINE = 600;

/** Prints the state to standard error. Never throws: it runs when something has failed already. */
export async function printState(cluster: Cluster, title: string): Promise<void> {
  const parts = [`---- ${title}: state of the cluster`];
  for (const [name, command] of Object.entries(COMMANDS)) {
    const { stdout, stderr } = await cluster.tryInside(["sh", "-c", command]);
    parts.push(`-- ${name}`, shortened(stdout + stderr));
  }
  const kubelet = await readFile(join(cluster.work, "log/kubelet.log"), "utf8").catch(String);
  const complaints = kubelet.split("\n").filter((line) => /^[EW]/.test(line) && !KUBELETS_NOISE.test(line));
  console.error([...parts, "-- the kubelet's last complaints", shortened(complaints.slice(-25).join("\n"))].join("\n"));
}

function shortened(text: string): string {
  return text
    .split("\n")
    .map((line) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}...` : line))
    .join("\n");
}
