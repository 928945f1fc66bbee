"""Ranks, as placement.md states them: one sentence a test."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.core.placement import joint, oracle
from tests.core.placement.rank_rules import Path, broken
from tests.support.cluster import PREFIX, gang, inventory, node, pod, role, topology

from muster.core.model import Found, RoleShape, Segments, Shape
from muster.core.placement import Solver
from muster.kube.launchers import segment_of


def racks(*sizes: int, leaf: int = 2) -> list:
    """Racks r1.. of so many nodes, two to a leaf."""
    return [
        node(f"r{r}-n{n}", 4, leaf=f"l{(r - 1) // leaf}", nvlink=f"r{r}")
        for r, size in enumerate(sizes, 1)
        for n in range(size)
    ]


LEVELS = topology("leaf", "nvlink")


def placed(nodes: list, shape: Shape, pods: Sequence = ()) -> tuple[tuple[str, ...], ...]:
    found = Solver().place(inventory(nodes, LEVELS, pods), shape)
    assert isinstance(found, Found), found
    return found.nodes


def in_racks(nodes: Sequence[str]) -> list[str]:
    """The rack of each rank."""
    return [name.split("-")[0] for name in nodes]


def of(shape: RoleShape) -> list[tuple[int, Sequence[int]]]:
    depths = {"leaf": 1, "nvlink": 2, "node": 3}
    out = []
    for segment in shape.segments:
        whole, rest = divmod(shape.count, segment.size)
        equal = (segment.size,) * whole + ((rest,) if rest else ())
        out.append((depths[segment.level], segment.sizes or equal))
    return out


def paths(nodes: list) -> dict[str, Path]:
    return {n.name: (n.labels[PREFIX + "leaf"], n.labels[PREFIX + "nvlink"]) for n in nodes}


# --- Equal segments or none -------------------------------------------------------------------------------------------


def test_the_pods_of_a_domain_have_consecutive_ranks_at_every_level_nested() -> None:
    nodes = racks(4, 4, 4, 4)
    (ranks,) = placed(nodes, gang(role(14)))
    assert broken(paths(nodes), ranks, []) == ""


def test_sibling_domains_follow_each_other_by_pods_most_first() -> None:
    (ranks,) = placed(racks(2, 5), gang(role(7)))
    assert in_racks(ranks) == ["r2"] * 5 + ["r1"] * 2


def test_then_in_natural_order() -> None:
    (ranks,) = placed(racks(*[1] * 11, leaf=11), gang(role(11)))
    assert in_racks(ranks) == [f"r{n}" for n in range(1, 12)]


def test_nodes_are_siblings_too() -> None:
    used = [pod("p", "r1-n0", 3)]
    (ranks,) = placed(racks(3), gang(role(9, 1)), used)
    assert ranks == ("r1-n1",) * 4 + ("r1-n2",) * 4 + ("r1-n0",)


def test_the_domain_that_holds_the_shorter_last_segment_comes_last() -> None:
    (ranks,) = placed(racks(3, 5, leaf=1), gang(role(8, segments=[("nvlink", 3)])))
    # The second rack has more pods, three and the shorter two, and comes last all the same.
    assert in_racks(ranks) == ["r1"] * 3 + ["r2"] * 5


def test_it_comes_last_at_each_level_down_to_the_segments() -> None:
    nodes = racks(4, 4, 4, 2, leaf=2)
    shape = role(14, segments=[("nvlink", 4)])
    (ranks,) = placed(nodes, gang(shape))
    assert in_racks(ranks)[-2:] == ["r4", "r4"]
    assert broken(paths(nodes), ranks, of(shape)) == ""


def test_below_the_segments_level_the_most_pods_come_first_again() -> None:
    (ranks,) = placed(racks(3, leaf=1), gang(role(9, 1, segments=[("nvlink", 4)])), [pod("p", "r1-n0", 3)])
    assert ranks == ("r1-n1",) * 4 + ("r1-n2",) * 4 + ("r1-n0",)


def test_nested_segments_keep_the_rules_at_both_levels() -> None:
    nodes = racks(6, 6, 6, 6, 6, 6)
    shape = role(22, segments=[("nvlink", 4), ("leaf", 8)])
    (ranks,) = placed(nodes, gang(shape))
    assert broken(paths(nodes), ranks, of(shape)) == ""


# --- Uneven segments --------------------------------------------------------------------------------------------------


def test_for_uneven_sizes_the_order_of_sizes_wins() -> None:
    (ranks,) = placed(racks(4, 8, leaf=2), gang(role(12, segments=[("nvlink", (2, 8, 2))])))
    assert in_racks(ranks) == ["r1"] * 2 + ["r2"] * 8 + ["r1"] * 2


def test_a_domains_ranks_are_broken_up_as_little_as_can_be() -> None:
    nodes = racks(6, 6, leaf=1)
    shape = role(12, segments=[("nvlink", (2, 4, 4, 2))])
    (ranks,) = placed(nodes, gang(shape))
    assert in_racks(ranks) in (["r1"] * 6 + ["r2"] * 6, ["r2"] * 6 + ["r1"] * 6)


def test_a_segment_may_start_elsewhere_than_where_most_pods_are_so_that_fewer_follow_it_elsewhere() -> None:
    # Only r1 holds the four, so r2 holds one of the ones and the two: the first one had better be there.
    (ranks,) = placed(racks(5, 3, leaf=1), gang(role(8, segments=[("nvlink", (1, 2, 1, 4))])))
    assert in_racks(ranks) == ["r2"] * 3 + ["r1"] * 5


def test_nested_uneven_sizes_keep_both_orders() -> None:
    nodes = racks(8, 8, 8, 8)
    shape = role(20, segments=[("leaf", (6, 14)), ("nvlink", (2, 4, 8, 2, 4))])
    (ranks,) = placed(nodes, gang(shape))
    assert broken(paths(nodes), ranks, of(shape)) == ""


# --- Several roles ----------------------------------------------------------------------------------------------------


def test_beside_other_roles_too_the_shorter_last_segment_comes_last_at_each_level() -> None:
    # The second leaf has ten of fourteen pods, and the shorter two among them.
    shape = role(14, segments=[("nvlink", 4)])
    ranks, _ = placed(racks(4, 0, 4, 6), gang(shape, role(1, 0, name="launcher")))
    assert in_racks(ranks) == ["r1"] * 4 + ["r3"] * 4 + ["r4"] * 6


def test_each_role_has_ranks_of_its_own_by_its_own_pods() -> None:
    nodes = racks(6, 4)
    one, two = role(5, segments=[("nvlink", 3)], name="a"), role(5, name="b")
    found = placed(nodes, gang(one, two))
    assert broken(paths(nodes), found[0], of(one)) == ""
    assert broken(paths(nodes), found[1], []) == ""


@pytest.mark.parametrize("seed", range(0, 400, 8))
def test_on_random_states_no_rule_is_broken(seed: int) -> None:
    state = oracle.random_state(seed, 40)
    found = Solver().place(state.inventory(), state.shape())
    if isinstance(found, Found):
        assert oracle.rank_rule(state, found.nodes[0]) == ""
    several = joint.random_state(seed, 40)
    found = Solver().place(several.inventory(), several.shape())
    if isinstance(found, Found):
        assert joint.rank_rule(several, found.nodes) == ""


# --- What containers are told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "count"),
    [
        pytest.param((Segments("nvlink", 4),), 10, id="shorter last"),
        pytest.param((Segments("leaf", 8), Segments("nvlink", 4)), 22, id="nested"),
        pytest.param((Segments("nvlink", 5, (2, 5, 3)),), 10, id="uneven"),
        pytest.param((Segments("nvlink", 4, (2, 4, 4)), Segments("leaf", 6, (6, 4))), 10, id="uneven and nested"),
    ],
)
def test_the_segment_and_the_rank_in_it_that_containers_are_told_are_those_of_the_innermost_sizes(
    segments: tuple[Segments, ...], count: int
) -> None:
    inner = min(segments, key=lambda s: s.size)
    told = [segment_of(segments, rank) for rank in range(count)]
    sizes = inner.sizes or tuple(min(inner.size, count - at) for at in range(0, count, inner.size))
    assert told == [(n, rank) for n, size in enumerate(sizes) for rank in range(size)]


def test_ranks_with_the_same_segment_lie_in_one_domain_and_count_from_zero() -> None:
    nodes = racks(5, 5, 5, 5)
    shape = role(14, segments=[("nvlink", (3, 5, 4, 2))])
    (ranks,) = placed(nodes, gang(shape))
    seen: dict[int, list[tuple[int, str]]] = {}
    for rank, where in enumerate(in_racks(ranks)):
        segment, within = segment_of(shape.segments, rank)
        seen.setdefault(segment, []).append((within, where))
    assert [len(mine) for _, mine in sorted(seen.items())] == [3, 5, 4, 2]
    for mine in seen.values():
        assert [within for within, _ in mine] == list(range(len(mine)))
        assert len({where for _, where in mine}) == 1


# --- The checker itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "sizes", "rule"),
    [
        pytest.param("aaba", [], "the pods of a domain have consecutive ranks", id="consecutive"),
        pytest.param("abbb", [], "siblings follow each other by pods, most first", id="most first"),
        pytest.param("bbaa", [], "siblings with as many pods follow each other in natural order", id="natural"),
        pytest.param(
            "aaab", [(1, [2, 2])], "a segment lies in one domain", id="segment"),
        pytest.param(
            "bbbbbaaa", [(1, [3, 3, 2])], "a segment lies in one domain", id="segment of three"),
        pytest.param(
            "abb", [(1, [2, 1])], "a segment lies in one domain", id="short first"),
        pytest.param(
            "aabba", [(1, [2, 2, 1])], "the pods of a domain have consecutive ranks", id="short apart"),
        pytest.param(
            "aabbaab", [(1, [2, 2, 2, 1])], "the pods of a domain have consecutive ranks", id="interleaved"),
        pytest.param(
            "abbbaa", [(1, [1, 2, 1, 2])], "a domain's ranks are broken up as little as can be", id="broken up"),
    ],
)  # fmt: skip
def test_the_checker_names_the_rule_that_is_broken(ranks: str, sizes: list, rule: str) -> None:
    found = {f"{c}{i}": (c,) for i, c in enumerate(ranks)}
    assert broken(found, list(found), sizes) == rule
