"""`make demo`: a short story on a 4,608-GPU cluster that is real but for its machines.

A kube-apiserver, etcd, kube-scheduler and controller manager, 1,152 nodes that are labels, a stand-in for their
kubelets, and the operator itself. Whatever is told here is read from the API; the watcher, which shares no code with
the operator, has the last word. Exit code 0: it found nothing wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from e2e.client import ApiError, Object, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.manifests import apply, documents
from e2e.nodes import TAINTS, Racks
from e2e.watcher import Watcher

RACKS = Racks(racks=64, nodes=18, taints=TAINTS)
SMALL = tuple(f"tune-{number}" for number in range(6))
ROOM = ("Fragmented", "InsufficientCapacity")
LEVELS = ("nvlink", "leaf")
PATIENCE = 120.0
"""Seconds for each step, on a machine that is busy."""


class Teller:
    """Prints plain lines, with the time since the story began; colours only on a terminal."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty()
        self._began = time.monotonic()

    def begin(self) -> None:
        """The clock starts here."""
        self._began = time.monotonic()

    def chapter(self, text: str) -> None:
        print(f"\n{self.paint('1', text)}", flush=True)

    def line(self, text: str) -> None:
        print(f"{self.paint('2', f'{time.monotonic() - self._began:5.1f} s')}  {text}", flush=True)

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text


class Story:
    """What is played on the cluster."""

    def __init__(self, cluster: Cluster, tell: Teller) -> None:
        self.cluster = cluster
        self.tell = tell
        self.submitted: dict[str, float] = {}
        self.waited: dict[str, float] = {}
        """Seconds from a job's apply to its start."""
        self.placed: dict[str, Object] = {}
        """The status of each job when it last started."""

    def play(self) -> None:
        """All chapters."""
        self._large()
        self._small()
        self._waiting()
        self._suspended()
        self._invalid()
        self._end()

    def _large(self) -> None:
        self.tell.chapter("256 nodes in segments of 16: every segment inside one NVLink domain")
        self._submit("pretrain", 256, 16)
        self._started("pretrain")

    def _small(self) -> None:
        self.tell.chapter("Small jobs fill what is left in racks that are in use")
        for name in SMALL:
            self._submit(name, 2, 2, fake(run_seconds=20))
        for name in SMALL:
            self._started(name)
        used = self._racks("pretrain")
        inside = sum(self._racks(name) <= used for name in SMALL)
        self.tell.line(f"{inside} of {len(SMALL)} lie in racks that pretrain uses, on nodes it does not need")

    def _waiting(self) -> None:
        self.tell.chapter("A job that does not fit says why in its numbers, and starts when another ends")
        self._submit("sweep", 560, 16)
        self._started("sweep")
        self._submit("second", 512, 16)
        self.tell.line(f"second waits: {self._reason('second')}")
        self.cluster.delete_job("sweep")
        self.tell.line("sweep is deleted")
        self._started("second")

    def _suspended(self) -> None:
        self.tell.chapter("A suspended job gives its nodes back, and is placed anew when it is resumed")
        self.cluster.change("pretrain", {"suspend": True})
        self.cluster.wait_phase("pretrain", "Suspended", timeout=PATIENCE)
        ended = ("Succeeded", "Failed")
        left = sum(pod["status"].get("phase") not in ended for pod in self.cluster.pods("pretrain"))
        self.tell.line(f"pretrain is Suspended; {left} of its pods hold a node")
        self.cluster.change("pretrain", {"suspend": False})
        self._started("pretrain")

    def _invalid(self) -> None:
        self.tell.chapter("What cannot be is refused when it is applied")
        segments = {"segments": [{"level": "nvlink", "sizes": [16, 16]}]}
        try:
            self.cluster.submit(job("wrong", [role(replicas=40, topology=segments)]))
        except ApiError as error:
            self.tell.line(f"refused ({error.status}): {json.loads(error.body)['message']}")
        else:
            raise AssertionError("a job of 40 pods in segments of 16 and 16 was accepted")

    def _end(self) -> None:
        self.tell.chapter("Small jobs end by themselves")
        for name in SMALL:
            self.cluster.wait_phase(name, "Succeeded", timeout=PATIENCE)
        self.tell.line(f"{', '.join(SMALL)} Succeeded")

    # --- the steps ---

    def _submit(self, name: str, nodes: int, segment: int, wishes: Mapping[str, str] | None = None) -> None:
        pod = {"tolerations": [{"key": taint["key"], "operator": "Exists"} for taint in TAINTS]}
        worker = role("worker", nodes, segment=("nvlink", segment), annotations=wishes, pod=pod)
        self.submitted[name] = time.monotonic()
        self.cluster.submit(job(name, [worker]))
        self.tell.line(f"{name}: {nodes} nodes in segments of {segment}")

    def _started(self, name: str) -> None:
        began = time.monotonic()
        status = self.cluster.wait_phase(name, "Running", "Succeeded", timeout=PATIENCE)["status"]
        self.waited.setdefault(name, time.monotonic() - self.submitted[name])
        self.placed[name] = status
        where = ", ".join(f"{got}/{least} {level}" for level, got, least in _domains(status))
        seconds = time.monotonic() - began
        self.tell.line(f"{name} runs on all its {_nodes(status)} nodes after {seconds:.1f} s; domains: {where}")

    def _reason(self, name: str) -> str:
        def said() -> str:
            waiting = self.cluster.job(name).get("status", {}).get("waiting") or {}
            # Until its pods have been put to admission, it waits for that.
            return str(waiting.get("message", "")) if waiting.get("reason") in ROOM else ""

        return wait_for(said, PATIENCE, f"{name} says why it waits", seen=lambda: self.cluster.job(name).get("status"))

    def _racks(self, name: str) -> set[str]:
        return {pod["spec"]["nodeName"].partition("-")[0] for pod in self.cluster.pods(name)}

    def settle(self) -> None:
        """Wait until nothing is in motion."""

        def still() -> bool:
            jobs = self.cluster.client.list(muster("trainingjobs", self.cluster.namespace))
            claims = any(each["status"]["phase"] == "Succeeded" and each["status"].get("live") for each in jobs)
            return not claims and not any("deletionTimestamp" in pod["metadata"] for pod in self.cluster.pods())

        wait_for(still, PATIENCE, "the cluster is quiet", pause=0.5)
        time.sleep(3.0)

    def table(self) -> None:
        """One line a job."""
        self.tell.chapter("Domains used / fewest possible on an empty cluster")
        form = "{:<10} {:<10} {:>8} {:>6} " + " {:>9}" * len(LEVELS)
        print(form.format("job", "phase", "waited", "pods", *LEVELS))
        for name, status in self.placed.items():
            counts = {level: f"{got} / {least}" for level, got, least in _domains(status)}
            now = self.cluster.client.find(muster("trainingjobs", self.cluster.namespace, name))
            phase = now["status"]["phase"] if now else "deleted"
            waited = f"{self.waited[name]:.1f} s"
            print(form.format(name, phase, waited, _nodes(status), *(counts.get(level, "-") for level in LEVELS)))


def _domains(status: Object) -> list[tuple[str, int, int]]:
    placement = status["placement"]
    return [(level, placement["domains"][level], placement["least"][level]) for level in LEVELS]


def _nodes(status: Object) -> int:
    return sum(int(each["pods"]) for each in status["roles"])


def play(stack: ExitStack, keep: bool) -> bool:
    """Set everything up, play, judge; whether nothing was wrong."""
    tell = Teller()
    tell.chapter("A control plane, and 64 racks of 18 nodes with 4 GPUs each")
    logs = Path(tempfile.mkdtemp(prefix="muster-demo-"))
    stack.callback(shutil.rmtree, logs, ignore_errors=True)
    plane = ControlPlane.start()
    stack.callback(plane.stop)
    tell.line(f"Kubernetes {plane.client.get('/version')['gitVersion']} is up")
    tell.begin()
    apply(plane.client, documents(ROOT / "crds"))
    cluster = Cluster(plane, "demo", logs)
    tell.line(f"{len(cluster.add_nodes(RACKS))} nodes, {RACKS.racks * RACKS.nodes * RACKS.gpus} GPUs")
    kubelet = cluster.start_kubelet()
    stack.callback(kubelet.stop, 2.0)
    watcher = Watcher(plane.client).start()
    stack.callback(watcher.stop)
    operators = Operators(plane, logs, cluster.namespace)
    stack.callback(operators.stop)
    operator = operators(env={"MUSTER_PODS_QPS": "0", "MUSTER_LOG_FORMAT": "json"})[0]
    operator.wait_until(lambda: '"leading"' in operator.output(), 60, "leading")
    tell.line("the operator leads")

    story = Story(cluster, tell)
    try:
        story.play()
        story.settle()
        watcher.quiet()
    except (AssertionError, ApiError) as error:
        tell.chapter(tell.paint("31", f"The story broke off: {error}"))
        print(operator.output()[-4000:])
        return False
    found = watcher.violations()
    story.table()
    if found:
        tell.chapter(tell.paint("31", "The watcher found what must not be:"))
        print(watcher.report(found))
    else:
        events = len(watcher.history.events)
        tell.chapter(tell.paint("32", f"The watcher saw {events} events and no breach of S1-S7."))
    if keep:
        tell.chapter("It is left running until Ctrl-C:")
        print(f"  export KUBECONFIG={plane.kubeconfig}\n  kubectl get trainingjobs -n {cluster.namespace}", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return not found


def main() -> None:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(description="a short story on a 4,608-GPU cluster")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, for kubectl")
    chosen = parser.parse_args()
    # `kill` ends it in good order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as stack:
            well = play(stack, chosen.keep)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
