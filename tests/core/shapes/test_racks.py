"""Racks that are not all alike: of unequal size, with dead nodes, filled to 16 of 18, without the label of a domain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.core.shapes.wire import CLIQUE, GPU, Cluster, Wire, level, node, numbers, pod, role, topology

TIER = "fabric.topograph.run/tier-"
FABRIC = (level("spine", TIER + "1"), level("leaf", TIER + "0"))
RACK = level("nvlink", CLIQUE, placeholderValues=["no-imds-data"])


def rack(r: int, nodes: int, *, dead: int = 0, cordoned: int = 0) -> Iterator[Wire]:
    """Rack r, two a leaf; the first nodes of it are dead, the next ones cordoned."""
    own = {TIER + "1": "s0", TIER + "0": f"l{r // 2}", CLIQUE: f"c{r}.1", "nvidia.com/gpu.product": "NVIDIA-GB300"}
    for n in range(nodes):
        ready = "Unknown" if n < dead else "True"
        yield node(f"r{r}-n{n:02}", own, ready=ready, cordoned=dead <= n < dead + cordoned)


def racks_of(found_on: list[str]) -> list[int]:
    """Nodes by rack, most first."""
    names = [name.partition("-")[0] for name in found_on]
    return sorted((names.count(each) for each in set(names)), reverse=True)


# --- unequal racks and dead nodes -------------------------------------------------------------------------------------


def test_unequal_racks_are_filled_where_least_is_left() -> None:
    here = Cluster(topology("Custom", *FABRIC, RACK), rack(0, 18), rack(1, 16), rack(2, 12), rack(3, 7))
    # One rack holds each of these; the one that fits best is opened.
    for pods, on in ((7, "r3"), (8, "r2"), (13, "r1"), (17, "r0")):
        found = here.placed(role(pods))
        assert {name.partition("-")[0] for name in found.nodes[0]} == {on}
        assert found.objective.leftover == {7: 0, 8: 4, 13: 3, 17: 1}[pods]
    # 19 need two racks: 12 and 7 are in one leaf and leave nothing over.
    found = here.placed(role(19))
    assert (racks_of(list(found.nodes[0])), dict(found.domains)) == ([12, 7], {"spine": 1, "leaf": 1, "nvlink": 2})
    assert found.objective.leftover == 0
    # Segments of 8: two in the racks of 18 and 16, one in that of 12, none in that of 7.
    assert racks_of(list(here.placed(role(40, segments=[("nvlink", 8)])).nodes[0])) == [16, 16, 8]
    over = here.refused(role(48, segments=[("nvlink", 8)]))
    # The last segment may be shorter: 5 whole ones and 7 more in the small rack.
    assert numbers(over, "constraint", "level", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "segments",
        "level": "nvlink",
        "largest": 47,
    }


def test_dead_and_cordoned_nodes_are_missing_and_named() -> None:
    here = Cluster(
        topology("Custom", *FABRIC, RACK), rack(0, 18, dead=2), rack(1, 18, dead=1, cordoned=2), rack(2, 18, dead=18)
    )
    over = here.refused(role(36))
    assert numbers(over, "pods", "free", "missing") == {
        "reason": "InsufficientCapacity",
        "pods": 36,
        "free": 31,
        "missing": 5,
    }
    assert dict(over.exclusions) == {"NotReady": 21, "cordoned": 2}
    assert racks_of(list(here.placed(role(31, segments=[("nvlink", 16)])).nodes[0])) == [16, 15]
    # Of 16 and 15 nodes, one segment of 10 each, and the start of a third on what is left.
    split = here.refused(role(31, segments=[("nvlink", 10)]))
    assert numbers(split, "free", "level", "domain", "lacks", "largest") == {
        "reason": "Fragmented",
        "free": 31,
        "level": "nvlink",
        "domain": "c0.1",
        "lacks": 4,
        "largest": 26,
    }


# --- 16 of 18 ---------------------------------------------------------------------------------------------------------


LIMITED = topology("Custom", *FABRIC, level("nvlink", CLIQUE, fillLimit=16))


def used(name: str) -> Wire:
    """A pod that takes a whole node."""
    return pod(f"on-{name}", name, {GPU: "4"})


def test_two_nodes_of_every_rack_stay_free() -> None:
    here = Cluster(LIMITED, rack(0, 18), rack(1, 18), rack(2, 18))
    found = here.placed(role(48, segments=[("nvlink", 16)]))
    assert racks_of(list(found.nodes[0])) == [16, 16, 16]
    assert found.objective.leftover == 6
    over = here.refused(role(49))
    assert numbers(over, "constraint", "level", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "fillLimit",
        "level": "nvlink",
        "largest": 48,
    }
    # With the first rack filled to 16, the two that are free there are not for anybody.
    here.put(*(used(f"r0-n{n:02}") for n in range(16)))
    assert racks_of(list(here.placed(role(32)).nodes[0])) == [16, 16]
    waits = here.refused(role(33))
    assert numbers(waits, "free", "largest") == {"reason": "Fragmented", "free": 38, "largest": 32}


@pytest.mark.parametrize(("dead", "most"), [(0, 16), (1, 16), (2, 16), (3, 15), (5, 13)])
def test_dead_nodes_do_not_lower_the_limit(dead: int, most: int) -> None:
    here = Cluster(LIMITED, rack(0, 18, dead=dead))
    assert len(here.placed(role(most)).nodes[0]) == most
    if most == 16:
        assert here.refused(role(17)).number("constraint") == "fillLimit"
    else:
        short = here.refused(role(16))
        assert numbers(short, "free", "missing") == {
            "reason": "InsufficientCapacity",
            "free": most,
            "missing": 16 - most,
        }


def test_what_counts_against_the_limit() -> None:
    """Whatever is not intact does: a stranger's pod too, however small; what belongs to the node does not."""
    here = Cluster(LIMITED, rack(0, 18))
    here.put(pod("exporter", "r0-n00", {"cpu": "1"}, owner="DaemonSet"))
    here.put(pod("proxy", "r0-n01", {"cpu": "1"}, owner="Node", annotations={"kubernetes.io/config.mirror": "x"}))
    here.put(pod("done", "r0-n02", {GPU: "4"}, phase="Succeeded"))
    assert len(here.placed(role(16)).nodes[0]) == 16
    here.put(pod("small", "r0-n03", {"cpu": "100m"}))
    # It holds no GPU: the gang goes to its node, which is in use already, and 16 remain 16.
    assert "r0-n03" in here.placed(role(16)).nodes[0]
    here.put(used("r0-n04"))
    waits = here.refused(role(16))
    assert numbers(waits, "free", "largest") == {"reason": "Fragmented", "free": 17, "largest": 15}


# --- cliques that are missing -----------------------------------------------------------------------------------------


def test_a_node_without_a_clique_is_no_part_of_its_rack() -> None:
    """The label goes away for a while when the driver restarts; some label makers write that they do not know."""
    torn = [*rack(0, 18), *rack(1, 18)]
    for each in torn[18:20]:
        del each["metadata"]["labels"][CLIQUE]
    torn[20]["metadata"]["labels"][CLIQUE] = "no-imds-data"
    torn[21]["metadata"]["labels"][CLIQUE] = ""
    here = Cluster(topology("Custom", *FABRIC, RACK), torn)
    assert here.survey()["nvlink"] == (2, 32, 4)
    assert racks_of(list(here.placed(role(32, segments=[("nvlink", 14)])).nodes[0])) == [18, 14]
    over = here.refused(role(36, segments=[("nvlink", 18)]))
    assert over.reason.value == "Unsatisfiable"
    assert dict(over.exclusions) == {"unlabelled nvlink": 4}
    # Where no label is needed the nodes count, each a domain of its own: 36 in 2 racks and 4 single nodes.
    found = here.placed(role(36))
    assert dict(found.domains) == {"spine": 1, "leaf": 1, "nvlink": 6}
    assert here.world.domains_of("r1-n00") == {"spine": "s0", "leaf": "l0"}
    # Without the placeholder's name in the topology it is a value like others.
    naive = Cluster(topology("Custom", *FABRIC, level("nvlink", CLIQUE)), torn)
    assert naive.survey()["nvlink"] == (3, 33, 3)


def test_racks_of_one_name_under_two_leaves_are_two_racks() -> None:
    nodes = [*rack(0, 4), *rack(2, 4)]
    for each in nodes:
        each["metadata"]["labels"][CLIQUE] = "rack-1"
    here = Cluster(topology("Custom", *FABRIC, RACK), nodes)
    assert here.survey()["nvlink"] == (2, 8, 0)
    assert here.refused(role(8, segments=[("nvlink", 8)])).number("largest") == 4
    found = here.placed(role(8, segments=[("nvlink", 4)]))
    assert [name[:2] for name in found.nodes[0]] == ["r0"] * 4 + ["r2"] * 4


def test_a_cluster_that_has_no_clique_at_all_has_no_such_level() -> None:
    nodes = [*rack(0, 4), *rack(1, 4)]
    for each in nodes:
        del each["metadata"]["labels"][CLIQUE]
    here = Cluster(topology("Auto"), nodes)
    assert here.levels == "spine leaf"
    unknown = here.refused(role(2, segments=[("nvlink", 2)]))
    assert numbers(unknown, "field") == {"reason": "Invalid", "field": "spec.roles[0].topology.segments[0].level"}
