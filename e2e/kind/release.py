"""The chart, installed as a user installs it, and what its operator does."""

from __future__ import annotations

from e2e.client import Object, core, group, wait_for
from e2e.harness import ROOT
from e2e.kind.cluster import KindCluster
from e2e.kind.stages import stage

CHART = ROOT / "helm" / "muster"
NAMESPACE = "muster-system"
NAME = "muster"
SELECTOR = "app.kubernetes.io/name=muster,app.kubernetes.io/component=operator"


class Release:
    """The installed chart."""

    def __init__(self, cluster: KindCluster, image: str) -> None:
        self.cluster = cluster
        self.client = cluster.client
        repository, _, tag = image.rpartition(":")
        self.values = ["--set", f"image.repository={repository},image.tag={tag}"]
        self.excused: set[str] = set()
        """Replicas whose end would be no fault of theirs: what a test breaks, it notes here."""

    def install(self) -> None:
        """Install it and wait until it is ready."""
        with stage("helm install --wait"):
            self._helm("install", "--create-namespace", *self.values)

    def upgrade(self, *settings: str) -> None:
        """Upgrade with these values over the present ones, as in `settings.logLevel=debug`."""
        self._helm("upgrade", "--reset-then-reuse-values", *[word for each in settings for word in ("--set", each)])

    def _helm(self, verb: str, *words: str) -> None:
        self.cluster.helm(verb, NAME, str(CHART), "--namespace", NAMESPACE, "--wait", "--timeout", "5m", *words)

    def run(self, *words: str, check: bool = True) -> str:
        """Another command of helm on the release, as in run("history"); returns its output."""
        done = self.cluster.helm(words[0], NAME, "--namespace", NAMESPACE, *words[1:], check=check)
        return done.stdout + done.stderr

    def pods(self) -> list[Object]:
        """The operator's pods that are not being deleted."""
        every = self.client.list(core("pods", NAMESPACE), labelSelector=SELECTOR)
        return [pod for pod in every if "deletionTimestamp" not in pod["metadata"]]

    def settled(self) -> None:
        """Wait until both replicas are ready and no others are left."""

        def ready() -> bool:
            every = self.client.list(core("pods", NAMESPACE), labelSelector=SELECTOR)
            conditions = [{c["type"]: c["status"] for c in pod["status"].get("conditions", ())} for pod in every]
            # A pod of a node that is gone stays for a minute, as it was.
            nodes = {node["metadata"]["name"] for node in self.client.list(core("nodes"))}
            there = all(pod["spec"].get("nodeName") in nodes for pod in every)
            return len(every) == 2 and there and all(each.get("Ready") == "True" for each in conditions)

        wait_for(ready, 300, "two replicas are ready", 0.5, seen=lambda: [pod["status"] for pod in self.pods()])

    def holder(self) -> str:
        """Who holds the lease: host name and a suffix that differs at every start; empty for nobody."""
        lease = self.client.find(group("coordination.k8s.io/v1", "leases", NAMESPACE, "muster"))
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    def leader(self) -> str:
        """The name of the pod that leads; empty for none."""
        return self.holder().rpartition("_")[0]

    def restarts(self) -> dict[str, int]:
        """How often the container of each replica was started again."""
        return {
            pod["metadata"]["name"]: sum(each["restartCount"] for each in pod["status"].get("containerStatuses", ()))
            for pod in self.pods()
        }

    def excuse(self, node: str) -> None:
        """Replicas on this node may end or lose their watch: a leader away for longer than its lease exits."""
        self.excused |= {pod["metadata"]["name"] for pod in self.pods() if pod["spec"].get("nodeName") == node}

    def log(self, pod: str) -> str:
        """All that a replica has logged; nothing where it is gone or its kubelet does not answer."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", "logs", pod, check=False).stdout
