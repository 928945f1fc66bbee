"""A namespace of its own for a test, and the jobs in it: their containers are real, of the operator's own image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2e.client import Object, core, muster, wait_for
from e2e.jobs import job, role
from e2e.kind.cluster import KindCluster

PROGRAM = Path(__file__).with_name("train.py")
PYTHON = "/opt/muster/bin/python"
FINISHED = ("Succeeded", "Failed")


class Space:
    """Made for one test, removed at its end with all that is in it."""

    def __init__(self, cluster: KindCluster, name: str, image: str) -> None:
        self.cluster = cluster
        self.client = cluster.client
        self.name = name
        self.image = image
        self.client.post(core("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        program = {"kind": "ConfigMap", "metadata": {"name": "program"}, "data": {"train.py": PROGRAM.read_text()}}
        self.client.post(core("configmaps", name), program)
        account = core("serviceaccounts", name, "default")
        wait_for(lambda: self.client.find(account), 60, f"namespace {name} has its service account")

    def trainer(self, replicas: int, seconds: float = 0, gpus: int = 4, **more: Any) -> Object:
        """Return a role of `replicas` pods that run train.py; `more` goes to e2e.jobs.role."""
        made = role("worker", replicas, gpus=gpus, **more)
        [container] = made["template"]["spec"]["containers"]
        container |= {
            "name": "trainer",
            "image": self.image,
            "command": [PYTHON, "/program/train.py", "--seconds", str(seconds)],
            "volumeMounts": [{"name": "program", "mountPath": "/program"}],
        }
        made["template"]["spec"] |= {
            "terminationGracePeriodSeconds": 2,
            "volumes": [{"name": "program", "configMap": {"name": "program"}}],
        }
        return made

    def submit(self, name: str, replicas: int, seconds: float = 0, topology: Object | None = None, **spec: Any) -> None:
        """Create a job of one role of trainers; `topology` is the role's, `spec` the job's further fields."""
        self.create(job(name, [self.trainer(replicas, seconds, topology=topology)], **spec))

    def create(self, manifest: Object) -> Object:
        """Create a TrainingJob, strictly validated."""
        return self.client.post(muster("trainingjobs", self.name), manifest, fieldValidation="Strict")

    def job(self, name: str) -> Object:
        """The job as it is."""
        return self.client.get(muster("trainingjobs", self.name, name))

    def status(self, name: str) -> Object:
        """Its status."""
        found: Object = self.job(name).get("status") or {}
        return found

    def reaches(self, name: str, phase: str, attempt: int = 1, timeout: float = 180.0) -> Object:
        """Wait until the job is in this phase, in this attempt or a later one; return its status."""

        def there() -> Object | None:
            status = self.status(name)
            if status.get("phase") in FINISHED and status["phase"] != phase:
                raise AssertionError(f"{name} is {status['phase']} and not {phase}: {status}; {self.logs(name)}")
            reached = status.get("phase") == phase and status.get("attempt", 0) >= attempt
            return status if reached else None

        found = wait_for(there, timeout, f"{name} is {phase}", pause=0.2, seen=lambda: self.seen(name))
        assert found is not None
        return found

    def waits(self, name: str, *reasons: str, timeout: float = 60.0) -> Object:
        """Wait until the job is Pending for one of these reasons; return what its status says of it."""

        def there() -> Object | None:
            status = self.status(name)
            waiting: Object = status.get("waiting") or {}
            return waiting if status.get("phase") == "Pending" and waiting.get("reason") in reasons else None

        found = wait_for(there, timeout, f"{name} waits for {reasons}", pause=0.2, seen=lambda: self.seen(name))
        assert found is not None
        return found

    def pods(self, name: str) -> list[Object]:
        """The job's pods that have not ended, by rank."""
        every = self.client.list(core("pods", self.name), labelSelector=f"muster.dev/job-name={name}")
        living = [pod for pod in every if pod["status"].get("phase") not in FINISHED]
        return sorted(living, key=lambda pod: int(pod["metadata"]["labels"]["muster.dev/rank"]))

    def nodes(self, name: str) -> list[str]:
        """The node of each rank of a job that runs."""
        return [pod["spec"]["nodeName"] for pod in self.pods(name)]

    def lines(self, name: str, size: int, attempt: int = 1, timeout: float = 120.0) -> list[Object]:
        """Wait until every rank has told its sum in this attempt; return their first lines by rank."""

        def told() -> list[Object] | None:
            found = [line for line in self._told(name) if line["attempt"] == attempt]
            return sorted(found, key=lambda line: int(line["rank"])) if len(found) == size else None

        found = wait_for(told, timeout, f"{size} ranks of {name} have reduced", 0.5, seen=lambda: self.seen(name))
        assert found is not None
        return found

    def _told(self, name: str) -> list[Object]:
        found = []
        for pod in self.client.list(core("pods", self.name), labelSelector=f"muster.dev/job-name={name}"):
            text = self._log(pod["metadata"]["name"])
            found += [json.loads(line) for line in text.splitlines() if line.startswith('{"rank"')]
        return found

    def _log(self, pod: str) -> str:
        # A kubelet that does not answer is no error of the test.
        return self.cluster.kubectl(f"--namespace={self.name}", "logs", pod, "--tail=20", check=False).stdout

    def logs(self, name: str) -> dict[str, str]:
        """The last words of each pod of a job."""
        pods = self.client.list(core("pods", self.name), labelSelector=f"muster.dev/job-name={name}")
        return {pod["metadata"]["name"]: self._log(pod["metadata"]["name"])[-500:] for pod in pods}

    def seen(self, name: str) -> object:
        """What a message shows of a job that did not do what was expected."""
        pods = [
            (
                pod["metadata"]["name"],
                pod["spec"].get("nodeName"),
                pod["status"].get("phase"),
                pod["status"].get("reason"),
            )
            for pod in self.client.list(core("pods", self.name), labelSelector=f"muster.dev/job-name={name}")
        ]
        return self.status(name), pods, self.logs(name)

    def delete_job(self, name: str) -> None:
        """Delete a job and wait until it and its pods are gone."""
        self.client.delete(muster("trainingjobs", self.name, name))
        gone = muster("trainingjobs", self.name, name)
        wait_for(lambda: self.client.find(gone) is None and not self.pods(name), 90, f"{name} and its pods are gone")

    def close(self) -> None:
        """Remove jobs and namespace."""
        self.client.send("DELETE", muster("trainingjobs", self.name))
        self.client.send("DELETE", core("namespaces", name=self.name))
        pods = core("pods", self.name)
        wait_for(lambda: not self.client.list(pods), 120, f"the pods of {self.name} are gone", 0.2)
