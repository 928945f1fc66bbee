"""Who has neither started nor a true reason to wait."""

from __future__ import annotations

from typing import Any

import pytest

from muster.sim.deeds import GPU, Deeds, gang
from muster.sim.liveness import CLIQUE, unfinished
from muster.sim.world import Site, World

Object = dict[str, Any]


def job(
    phase: str = "Pending",
    reason: str = "",
    *,
    replicas: int = 2,
    topology: Object | None = None,
    live: bool = False,
    **spec: Any,
) -> Object:
    made = gang("a", replicas, topology=topology, **spec)
    made["metadata"]["generation"] = 1
    made["status"] = {"phase": phase, "observedGeneration": 1, "live": live} | (
        {"waiting": {"reason": reason}} if reason else {}
    )
    return made


def node(name: str, domain: str = "d", gpus: int = 4, **spec: Any) -> Object:
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": {GPU: str(gpus), "pods": "110"}, "conditions": [ready]}
    return {"metadata": {"name": name, "labels": {CLIQUE: domain}}, "spec": spec, "status": status}


def pod(where: str, phase: str = "Running") -> Object:
    spec = gang("x")["spec"]["roles"][0]["template"]["spec"] | {"nodeName": where}
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}}


NODES = [node("n0"), node("n1"), node("n2", "e")]
NVLINK = {"required": {"level": "nvlink"}}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        pytest.param(job("Running"), "", id="running"),
        pytest.param(job("Succeeded"), "", id="succeeded"),
        pytest.param(job("Failed", live=True), "does not give back", id="ended and still live"),
        pytest.param(job("Suspended", suspend=True), "", id="suspended"),
        pytest.param(job("Running", suspend=True), "though it is suspended", id="runs on though suspended"),
        pytest.param(job("Suspended"), "stays in Suspended", id="not resumed"),
        pytest.param(job("Starting"), "stays in Starting", id="starting"),
        pytest.param(job("Stopping"), "stays in Stopping", id="stopping"),
        pytest.param(job("Pending"), "waits with no reason", id="no reason"),
        pytest.param(job("Pending", "BackingOff"), "waits with BackingOff", id="a reason that passes"),
        pytest.param(job("Pending", "Invalid"), "", id="somebody has to mend it"),
        pytest.param(job("Pending", "InsufficientCapacity"), "though there is room", id="room"),
        pytest.param(job("Pending", "InsufficientCapacity", replicas=4), "", id="no room"),
        pytest.param(job("Pending", "Fragmented", replicas=3, topology=NVLINK), "", id="no domain holds it"),
        pytest.param(job("Pending", "Fragmented", topology=NVLINK), "though there is room", id="a domain holds it"),
    ],
)
def test_a_job(what: Object, said: str) -> None:
    found = unfinished([what], NODES, [])
    assert bool(found) == bool(said)
    assert not found or said in found[0]


def test_what_holds_a_node_takes_its_room_until_it_has_ended() -> None:
    waiting = job("Pending", "InsufficientCapacity", replicas=3)
    assert unfinished([waiting], NODES, [])
    assert not unfinished([waiting], NODES, [pod("n0")])
    assert unfinished([waiting], NODES, [pod("n0", "Failed")])
    assert not unfinished([waiting], [*NODES[:2], node("n2", unschedulable=True)], [])


def test_a_job_that_was_not_judged_since_it_changed() -> None:
    changed = job("Pending", "InsufficientCapacity", replicas=9)
    changed["metadata"]["generation"] = 2
    assert "was not judged" in unfinished([changed], NODES, [])[0]


def test_a_world_in_which_nobody_leads() -> None:
    with World(Site(operators=0)) as world:
        deeds = Deeds(world)
        deeds.apply(gang("a"))
        world.run(60.0)
        assert unfinished(deeds.jobs(), deeds.nodes(), deeds.pods()) == ["a was not judged at generation 1"]
