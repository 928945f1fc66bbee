"""What people and machines do to a simulated cluster has the effect that it has on a real one; safe throughout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from muster import safety
from muster.embedded.nodes.racks import Racks
from muster.sim.deeds import Deeds, RefusedError, gang
from muster.sim.liveness import CLIQUE, unfinished
from muster.sim.world import Site, World

SITE = Site(Racks(racks=2, nodes=3), operators=2)


@contextmanager
def running(replicas: int = 3, site: Site = SITE) -> Iterator[Deeds]:
    """A world with one running gang `llm`; it is judged at the end."""
    with World(site, seed=11) as world:
        deeds = Deeds(world)
        world.start()
        world.run(2.0)
        deeds.apply(gang("llm", replicas))
        reaches(deeds, "Running")
        yield deeds
        world.run(60.0)
        history = world.record.history(quiet=True)
        found = safety.judge(history)
        assert not found, safety.report(found, history)
        assert unfinished(deeds.jobs(), deeds.nodes(), deeds.pods()) == []
        assert world.journal.defects == []
        assert world.loop.problems == []


def reaches(deeds: Deeds, phase: str, attempt: int = 1, within: float = 300.0) -> None:
    def holds() -> bool:
        job = deeds.job("llm")
        return job is not None and job["status"]["phase"] == phase and job["status"].get("attempt", 0) >= attempt

    assert deeds.world.until(holds, within), deeds.job("llm")


def nodes_of(deeds: Deeds) -> list[str]:
    return [deeds.pod_of("llm", rank)["spec"]["nodeName"] for rank in range(3)]


def leader(deeds: Deeds) -> int:
    (found,) = [seat.number for seat in deeds.world.seats if seat.leading]
    return found


def test_a_machine_that_dies_is_left_and_used_again_when_it_is_back() -> None:
    with running() as deeds:
        dead = nodes_of(deeds)[1]
        deeds.power(dead, on=False)
        reaches(deeds, "Running", attempt=2)
        assert dead not in nodes_of(deeds)
        deeds.power(dead, on=True)
        deeds.world.run(10.0)
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 60.0)


def test_a_machine_that_is_back_at_once_is_not_missed() -> None:
    with running() as deeds:
        name = nodes_of(deeds)[0]
        for _ in range(3):
            deeds.power(name, on=False)
            deeds.world.run(30.0)
            deeds.power(name, on=True)
            deeds.world.run(30.0)
        reaches(deeds, "Running")
        job = deeds.job("llm")
        assert job is not None
        assert job["status"]["attempt"] == 1


def test_cordoned_tainted_relabelled() -> None:
    with running() as deeds:
        names = nodes_of(deeds)
        deeds.cordon(names[0])
        deeds.relabel(names[1], {CLIQUE: "elsewhere"})
        deeds.world.run(30.0)
        reaches(deeds, "Running")
        deeds.taint(names[2], "maintenance", "NoExecute")
        reaches(deeds, "Running", attempt=2)
        assert not {names[0], names[2]} & set(nodes_of(deeds))
        deeds.cordon(names[0], on=False)
        deeds.taint(names[2], "maintenance", None)


def test_a_node_that_is_deleted_and_comes_back() -> None:
    with running(replicas=6) as deeds:
        node = deeds.delete_node(nodes_of(deeds)[2])
        reaches(deeds, "Pending")
        deeds.add_node(node)
        reaches(deeds, "Running", attempt=2)


def test_a_pod_that_is_deleted_by_somebody() -> None:
    with running() as deeds:
        deeds.delete_pod(deeds.pod_of("llm", 2)["metadata"]["name"])
        reaches(deeds, "Running", attempt=2)


def test_strangers_take_room_and_give_it_back() -> None:
    with running() as deeds:
        free = sorted({node["metadata"]["name"] for node in deeds.nodes()} - set(nodes_of(deeds)))
        deeds.foreign("stranger", free[0])
        deeds.apply(gang("more", 3))
        deeds.world.run(20.0)
        assert deeds.phase("more") == "Pending"
        deeds.delete_pod("stranger")
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 30.0)


def test_the_api_server_restarts_and_etcd_compacts() -> None:
    with running() as deeds:
        deeds.apply(gang("more", 3))
        deeds.restart_api(down=5.0)
        deeds.compact()
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 60.0)


def test_a_leader_that_is_cut_off_is_followed() -> None:
    with running() as deeds:
        first = leader(deeds)
        deeds.partition(first, 60.0)
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 60.0)
        assert leader(deeds) != first
        assert deeds.world.seats[first].ends == [1]


def test_a_leader_that_is_frozen_past_its_lease_is_followed_and_ends() -> None:
    with running() as deeds:
        first = leader(deeds)
        deeds.world.seats[first].freeze(40.0)
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 35.0)
        deeds.world.run(40.0)
        assert deeds.world.seats[first].ends == [1]


def test_an_operator_that_is_asked_to_stop_gives_its_lease_back() -> None:
    with running() as deeds:
        first = leader(deeds)
        deeds.world.seats[first].stop()
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 5.0)
        assert deeds.world.seats[first].ends == [0]


@pytest.mark.parametrize("ms", [3_600_000, -600_000], ids=["forward", "back"])
def test_the_wall_clock_of_an_operator_jumps(ms: int) -> None:
    with running() as deeds:
        for seat in deeds.world.seats:
            seat.skew = ms
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 60.0)


def test_the_wall_clock_of_the_cluster_jumps() -> None:
    with running() as deeds:
        deeds.world.jump(3_600_000)
        deeds.apply(gang("more", 3))
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 60.0)


def test_slow_kubelets() -> None:
    with running() as deeds:
        deeds.kubelets(start=100.0, stop=20.0)
        deeds.apply(gang("more", 3))
        assert not deeds.world.until(lambda: deeds.phase("more") == "Running", 90.0)
        assert deeds.world.until(lambda: deeds.phase("more") == "Running", 30.0)


def test_what_the_api_server_refuses_is_told() -> None:
    with World(SITE) as world, pytest.raises(RefusedError, match="422"):
        Deeds(world).apply(gang("a name that is none"))
