"""What users write, and what strangers make, changes nothing about other jobs, nor how anything reads."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from e2e.client import Object, core, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.elsewhere import Elsewhere
from e2e.gangs import lead, living, reaches, sound
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from muster.embedded.nodes.podlife import timestamp

pytestmark = pytest.mark.usefixtures("kubelet")
NASTY = "\x1b[2K\r\nNormal  Running  2s  muster  all is well \u202eevil\x07"
TAMED = r"\x1b[2K  Normal  Running  2s  muster  all is well \u202eevil\x07"


def fails(cluster: Cluster, pod: Object, message: str) -> None:
    """A pod ends by itself with these last words, as a kubelet tells it."""
    now = timestamp(datetime.now(UTC))
    end = {"exitCode": 1, "reason": "Error", "message": message, "startedAt": now, "finishedAt": now}
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Failed", "containerStatuses": [container | {"state": {"terminated": end}}]}
    path = core("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], "status")
    cluster.client.patch(path, {"status": status}, "strategic")


def test_last_words_stay_in_their_line(cluster: Cluster, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 2))
    process = lead(operator, {"MUSTER_LOG_LEVEL": "debug", "MUSTER_LOG_FORMAT": "json"})
    rules = {"rules": [{"action": "FailJob", "onTerminationMessage": {"contains": "\r\nNormal"}}]}
    cluster.submit(job("loud", [role(replicas=2)], failurePolicy=rules))
    reaches(cluster, "loud", 1)
    fails(cluster, living(cluster, "loud")[0], NASTY)
    status = cluster.wait_phase("loud", "Failed")["status"]
    assert status["lastFailure"]["reason"] == "FailedByRule", "the rule saw the message as it was"
    assert TAMED in json.dumps(status, ensure_ascii=False).replace("\\\\", "\\")
    assert _printable(status)
    path = core("events", cluster.namespace)

    def told() -> list[Object]:
        events = cluster.client.list(path, fieldSelector="involvedObject.name=loud")
        return [event for event in events if event["reason"] == "Failed"]

    wait_for(told, 20, "an Event says that it failed")
    assert _printable([event["message"] for event in cluster.client.list(path)])
    for line in process.output().splitlines():
        assert json.loads(line)["event"], line
    sound(process)


def _printable(part: object) -> bool:
    """Whether no text in it, at any depth, has a character that a terminal would act on."""
    if isinstance(part, dict):
        return all(map(_printable, part.values()))
    if isinstance(part, list):
        return all(map(_printable, part))
    return part.isprintable() if isinstance(part, str) else True


@pytest.mark.real("a garbage collector that can be held up")
def test_a_stranger_in_another_namespace_is_no_rank(
    controlplane: ControlPlane, cluster: Cluster, operator: Operators
) -> None:
    """Who can read a job can name it as the owner of a pod of their own, with all its labels, and let that succeed."""
    cluster.add_nodes(Racks(1, 4))
    process = lead(operator)
    cluster.submit(job("victim", [role(replicas=2)]))
    reaches(cluster, "victim", 1)
    before = cluster.job("victim")["status"]
    models = living(cluster, "victim")
    elsewhere = Elsewhere(cluster)
    # The collector takes such pods away, but not at once.
    controlplane.controller_manager.freeze()
    try:
        for model in models:
            cluster.client.post(core("pods", elsewhere.namespace), _forged(model, elsewhere.namespace))
            path = core("pods", elsewhere.namespace, model["metadata"]["name"], "status")
            cluster.client.patch(path, {"status": {"phase": "Succeeded"}})
        time.sleep(3)
        after = cluster.job("victim")["status"]
    finally:
        controlplane.controller_manager.thaw()
        elsewhere.remove()
    keys = ("phase", "attempt", "restarts", "disruptions", "lastFailure", "live")
    assert {key: after.get(key) for key in keys} == {key: before.get(key) for key in keys}
    uids = {pod["metadata"]["uid"] for pod in models}
    assert {pod["metadata"]["uid"] for pod in living(cluster, "victim")} == uids
    sound(process)


def _forged(model: Object, namespace: str) -> Object:
    """A pod with the name, the labels and the owner of another, that no scheduler takes."""
    meta = {key: model["metadata"][key] for key in ("name", "labels", "ownerReferences")}
    spec = {"containers": [{"name": "main", "image": "x"}], "schedulerName": "nobody"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta | {"namespace": namespace}, "spec": spec}
