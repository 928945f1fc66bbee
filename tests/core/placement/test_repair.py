"""How a gang that lost ranks is mended."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from tests.core.placement import repair_oracle as oracle
from tests.support.cluster import PREFIX, gang, gpus, inventory, node, pod, racks, role, topology

from muster.core import explain
from muster.core.inventory import Inventory
from muster.core.model import Level, Node, Reason, Repaired, Shape, Taint, TopologySpec, Verdict
from muster.core.placement import Solver, repair_place

LEAVES = topology("leaf", "nvlink")
Nodes = tuple[tuple[str, ...], ...]


class Cluster:
    """Nodes by name and who uses them; the gang itself holds nothing here."""

    def __init__(self, nodes: Iterable[Node], spec: TopologySpec = LEAVES) -> None:
        self.nodes = {n.name: n for n in nodes}
        self.spec = spec
        self.used: dict[str, int] = {}

    def use(self, *names: str, gpus_each: int = 4) -> Cluster:
        """Others' pods on these nodes."""
        self.used |= dict.fromkeys(names, gpus_each)
        return self

    def dead(self, *names: str) -> Cluster:
        """These nodes are not ready."""
        for name in names:
            self.nodes[name] = replace(self.nodes[name], unready_since=1)
        return self

    def inventory(self) -> Inventory:
        return inventory(self.nodes.values(), self.spec, [pod(f"p-{n}", n, g) for n, g in self.used.items()])


def at(*names: str) -> Nodes:
    return (names,)


def ranks_on(nodes: Nodes, *names: str) -> frozenset[tuple[int, int]]:
    return frozenset((i, r) for i, mine in enumerate(nodes) for r, name in enumerate(mine) if name in names)


def mend(cluster: Cluster, shape: Shape, nodes: Nodes, *dead: str) -> Repaired:
    """The repair after these nodes died."""
    found = Solver().repair(cluster.dead(*dead).inventory(), shape, nodes, ranks_on(nodes, *dead))
    assert isinstance(found, Repaired), found
    stay = {(i, r) for i, mine in enumerate(nodes) for r in range(len(mine))} - set(found.moved)
    assert all(found.nodes[i][r] == nodes[i][r] for i, r in stay)
    return found


def refuse(cluster: Cluster, shape: Shape, nodes: Nodes, *dead: str) -> Verdict:
    verdict = Solver().repair(cluster.dead(*dead).inventory(), shape, nodes, ranks_on(nodes, *dead))
    assert isinstance(verdict, Verdict), verdict
    return verdict


def rack(r: int, *nodes: int) -> list[str]:
    return [f"r{r}-n{n}" for n in nodes]


SIXTEENS: Nodes = (tuple(f"r{r}-n{n}" for r in range(16) for n in range(16)),)
SHAPE_16 = gang(role(256, segments=[("nvlink", 16)]))


# --- In the same domain -----------------------------------------------------------------------------------------------


def test_a_dead_node_is_replaced_in_its_rack_and_255_ranks_stay() -> None:
    found = mend(Cluster(racks(20, 18, per_leaf=4)), SHAPE_16, SIXTEENS, "r5-n3")
    assert found.moved == ((0, 83),)
    assert found.nodes[0][83] == "r5-n16"
    assert (found.how, found.proven, found.objective.nodes) == ("domain", True, 256)
    assert dict(found.domains)["nvlink"] == 16


def test_three_nodes_in_three_racks_at_once_are_one_repair_of_three_ranks() -> None:
    found = mend(Cluster(racks(20, 18, per_leaf=4)), SHAPE_16, SIXTEENS, "r0-n0", "r7-n15", "r15-n9")
    assert found.how == "domain"
    assert [found.nodes[0][rank] for _, rank in found.moved] == ["r0-n16", "r7-n16", "r15-n16"]


def test_without_segments_the_rack_that_the_gang_is_in_comes_before_another() -> None:
    cluster = Cluster(racks(3, 4)).use("r1-n3")
    nodes = at(*rack(1, 0, 1), *rack(0, 0, 1, 2))
    # r1-n2 and r0-n3 cost the same; of two racks of one leaf the node order decides.
    assert mend(cluster, gang(role(5)), nodes, "r1-n0").nodes[0][0] == "r0-n3"
    # A rack is opened only when there is no room in those that are in use.
    assert mend(cluster.use("r0-n3", "r1-n2"), gang(role(5)), nodes, "r1-n0").nodes[0][0] == "r2-n0"


def test_the_pods_of_a_node_that_several_share_go_where_the_gang_is_already() -> None:
    cluster = Cluster(racks(2, 4, gpus_each=4)).use("r0-n3", gpus_each=2)
    nodes = at(*["r0-n0"] * 4, *["r0-n1"] * 3)
    found = mend(cluster, gang(role(7, 1)), nodes, "r0-n0")
    # One slot on r0-n1 is left, and three more on one node: the intact r0-n2 rather than two more nodes.
    assert Counter(found.nodes[0]) == {"r0-n1": 4, "r0-n2": 3}
    assert found.nodes[0][4:] == ("r0-n1",) * 3


def test_survivors_on_cordoned_and_tainted_nodes_stay_and_new_pods_shun_these() -> None:
    cluster = Cluster(racks(1, 6))
    for name in ("r0-n1", "r0-n4"):
        cluster.nodes[name] = replace(cluster.nodes[name], cordoned=True)
    cluster.nodes["r0-n2"] = replace(cluster.nodes["r0-n2"], taints=(Taint("maintenance", "", "NoSchedule"),))
    found = mend(cluster, gang(role(4, segments=[("nvlink", 4)])), at(*rack(0, 0, 1, 2, 3)), "r0-n3")
    assert found.nodes[0] == ("r0-n0", "r0-n1", "r0-n2", "r0-n5")


def test_a_node_that_is_gone_is_replaced_like_a_dead_one() -> None:
    cluster = Cluster(racks(2, 4))
    del cluster.nodes["r0-n1"]
    nodes = at(*rack(0, 0, 1, 2))
    found = Solver().repair(
        cluster.inventory(), gang(role(3, segments=[("nvlink", 3)])), nodes, ranks_on(nodes, "r0-n1")
    )
    assert isinstance(found, Repaired)
    assert found.nodes == at("r0-n0", "r0-n3", "r0-n2")


def test_nothing_lost_is_nothing_moved() -> None:
    found = mend(Cluster(racks(2, 4)), gang(role(3)), at(*rack(0, 0, 1, 2)))
    assert (found.moved, found.nodes) == ((), at(*rack(0, 0, 1, 2)))


def test_a_lost_rank_counts_as_moved_though_its_node_may_be_taken_again() -> None:
    nodes = at(*rack(0, 0, 1))
    found = Solver().repair(Cluster(racks(1, 2)).inventory(), gang(role(2)), nodes, frozenset({(0, 1)}))
    assert isinstance(found, Repaired)
    assert (found.nodes, found.moved) == (nodes, ((0, 1),))


def test_a_repair_may_go_over_the_fill_limit() -> None:
    spec = topology("leaf", Level("nvlink", (PREFIX + "nvlink",), fill_limit=3))
    # A dead node does not lower the limit, and a foreign pod takes part of it: a placement would not use r0-n3.
    cluster = Cluster(racks(1, 5), spec).use("r0-n4")
    found = mend(cluster, gang(role(3)), at(*rack(0, 0, 1, 2)), "r0-n0")
    assert found.nodes[0] == ("r0-n3", "r0-n1", "r0-n2")


# --- Segments that move -----------------------------------------------------------------------------------------------


def test_without_a_spare_in_the_rack_one_segment_moves_and_240_ranks_stay() -> None:
    cluster = Cluster(racks(20, 18, per_leaf=4)).use(*rack(5, 16, 17))
    found = mend(cluster, SHAPE_16, SIXTEENS, "r5-n3")
    assert [rank for _, rank in found.moved] == list(range(80, 96))
    assert found.how == "segment"
    # All leaves that are touched are full of the gang: a fifth is opened, its first rack.
    assert set(found.nodes[0][80:96]) == set(rack(16, *range(16)))


def test_a_whole_rack_lost_moves_one_segment() -> None:
    found = mend(Cluster(racks(20, 18, per_leaf=4)), SHAPE_16, SIXTEENS, *rack(3, *range(18)))
    assert [rank for _, rank in found.moved] == list(range(48, 64))
    assert found.how == "segment"


def test_segments_that_compete_for_the_spare_nodes_of_a_rack_are_settled_by_the_fewest_pods() -> None:
    # One spare in r0, two segments that lost one and two ranks: the one that keeps least goes.
    cluster = Cluster(racks(2, 9))
    nodes = at(*rack(0, 0, 1, 2, 3), *rack(0, 4, 5, 6, 7))
    shape = gang(role(8, segments=[("nvlink", 4)]))
    found = mend(cluster, shape, nodes, "r0-n0", "r0-n1", "r0-n4")
    assert found.moved == ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4))
    # What gave way makes room for the other; its rank may take any node that is free now.
    assert found.nodes[0][:5] == (*rack(1, 0, 1, 2, 3), "r0-n2")
    assert found.proven


def test_of_ways_that_move_as_many_the_one_with_the_better_objective_is_taken() -> None:
    # Either segment may give way. The first sits on nodes in use, so keeping it opens fewer intact ones.
    cluster = Cluster(racks(2, 6)).use("r0-n1", "r0-n2", gpus_each=0)
    nodes = at(*rack(0, 0, 1, 2, 3, 4, 5))
    found = mend(cluster, gang(role(6, segments=[("nvlink", 3)])), nodes, "r0-n0", "r0-n3")
    assert found.nodes == at("r0-n4", "r0-n1", "r0-n2", "r1-n0", "r1-n1", "r1-n2")
    # The other way round.
    cluster = Cluster(racks(2, 6)).use("r0-n4", "r0-n5", gpus_each=0)
    found = mend(cluster, gang(role(6, segments=[("nvlink", 3)])), nodes, "r0-n0", "r0-n3")
    assert found.nodes == at("r1-n0", "r1-n1", "r1-n2", "r0-n1", "r0-n4", "r0-n5")


def test_a_short_segment_without_a_loss_gives_way_where_that_moves_fewer() -> None:
    cluster = Cluster(racks(2, 6)).use(*rack(1, 2, 3, 4, 5))
    nodes = at(*rack(0, 0, 1, 2, 3), *rack(0, 4, 5))
    found = mend(cluster, gang(role(6, segments=[("nvlink", 4)])), nodes, "r0-n1")
    assert found.moved == ((0, 1), (0, 4), (0, 5))
    assert found.nodes == at("r0-n0", "r0-n4", "r0-n2", "r0-n3", "r1-n0", "r1-n1")


def test_inner_segments_move_before_outer_ones() -> None:
    cluster = Cluster(racks(8, 4, per_leaf=4))
    nodes = at(*rack(0, 0, 1, 2, 3), *rack(1, 0, 1, 2, 3), *rack(4, 0, 1, 2, 3), *rack(5, 0, 1, 2, 3))
    shape = gang(role(16, segments=[("nvlink", 4), ("leaf", 8)]))
    found = mend(cluster, shape, nodes, "r0-n2")
    assert [rank for _, rank in found.moved] == [0, 1, 2, 3]
    assert found.nodes[0][:4] == tuple(rack(2, 0, 1, 2, 3))
    # No rack of the leaf is free any more: the outer segment leaves it, both inner ones.
    full = Cluster(racks(12, 4, per_leaf=4)).use("r2-n0", "r3-n0")
    found = mend(full, shape, nodes, "r0-n2")
    assert [rank for _, rank in found.moved] == list(range(8))
    assert {name.split("-")[0] for name in found.nodes[0][:8]} == {"r6", "r7"}
    assert (found.how, found.proven) == ("segment", True)


def test_uneven_segments_keep_their_sizes() -> None:
    cluster = Cluster(racks(4, 5)).use("r0-n4", "r1-n0", "r2-n0")
    nodes = at(*rack(0, 0, 1), *rack(1, 1, 2, 3, 4), *rack(0, 2, 3))
    shape = gang(role(8, segments=[("nvlink", (2, 4, 2))]))
    found = mend(cluster, shape, nodes, "r1-n2")
    # The four go to r2, which is in use, rather than to the intact r3.
    assert found.nodes == at(*rack(0, 0, 1), *rack(2, 1, 2, 3, 4), *rack(0, 2, 3))


def test_a_survivor_that_was_relabelled_out_of_its_segment_is_brought_back() -> None:
    cluster = Cluster(racks(2, 6))
    cluster.nodes["r0-n1"] = node("r0-n1", 4, leaf="l0", nvlink="r1")
    nodes = at(*rack(0, 0, 1, 2, 3))
    found = mend(cluster, gang(role(4, segments=[("nvlink", 4)])), nodes, "r0-n3")
    assert found.moved == ((0, 1), (0, 3))
    assert found.nodes == at("r0-n0", "r0-n4", "r0-n2", "r0-n5")
    # Most are in the second of the two racks.
    cluster = Cluster(racks(3, 6))
    cluster.nodes["r1-n1"] = node("r1-n1", 4, leaf="l0", nvlink="r0")
    nodes = at(*rack(1, 0, 1, 2, 3))
    found = mend(cluster, gang(role(4, segments=[("nvlink", 4)])), nodes, "r1-n3")
    assert found.nodes == at("r1-n0", "r1-n4", "r1-n2", "r1-n5")
    # Neither has room: the segment leaves both.
    cluster = Cluster([*racks(4, 6), node("r1-n1", 4, leaf="l0", nvlink="r0")])
    cluster.use("r1-n4", "r1-n5", *rack(0, 0, 1, 2, 3))
    nodes = at(*rack(1, 0, 1, 2, 3), *rack(2, 0, 1, 2, 3))
    found = mend(cluster, gang(role(8, segments=[("nvlink", 4)])), nodes, "r1-n3")
    assert (found.how, found.nodes) == ("segment", at(*rack(3, 0, 1, 2, 3), *rack(2, 0, 1, 2, 3)))


def test_a_segment_moves_so_that_another_of_a_different_size_finds_a_rack() -> None:
    # The three that lost their rack fit only where the second pair is now.
    sizes = ((0, 2), (1, 3), (2, 2), (3, 3))
    cluster = Cluster([node(f"r{r}-n{n}", 4, leaf="l", nvlink=f"r{r}") for r, size in sizes for n in range(size)])
    nodes = at(*rack(3, 0, 1, 2), *rack(0, 0, 1), *rack(1, 0, 1))
    found = mend(cluster, gang(role(7, segments=[("nvlink", (3, 2, 2))])), nodes, *rack(3, 0, 1, 2))
    assert found.nodes == at(*rack(1, 0, 1, 2), *rack(0, 0, 1), *rack(2, 0, 1))
    assert (found.how, len(found.moved), found.proven) == ("segment", 5, True)


# --- The gang as a whole ----------------------------------------------------------------------------------------------


def test_the_required_domain_is_kept_while_it_has_room_and_left_as_a_whole_if_not() -> None:
    cluster = Cluster(racks(6, 4, per_leaf=2))
    nodes = at(*rack(2, 0, 1, 2), *rack(3, 0, 1, 2))
    shape = gang(role(6, required="leaf"))
    assert mend(cluster, shape, nodes, "r2-n0").nodes[0] == ("r2-n3", *nodes[0][1:])
    cluster.use("r2-n3", "r3-n3", "r0-n0", "r0-n1", "r0-n2")
    found = mend(cluster, shape, nodes, "r2-n0")
    assert {name.split("-")[0] for name in found.nodes[0]} == {"r4", "r5"}
    assert (found.how, len(found.moved), found.proven) == ("gang", 6, True)


def test_a_boundary_is_kept() -> None:
    spec = topology(Level("zone", (PREFIX + "zone",), boundary=True), "nvlink")
    nodes_ = [node(f"{z}{n}", 4, zone=z, nvlink=f"{z}{n // 3}") for z in "ab" for n in range(6)]
    found = mend(Cluster(nodes_, spec).use("a5"), gang(role(5)), at("a0", "a1", "a2", "a3", "a4"), "a1")
    assert (found.how, {name[0] for name in found.nodes[0]}) == ("gang", {"b"})


def test_a_gang_of_which_nothing_is_left_is_placed_anew() -> None:
    found = mend(Cluster(racks(3, 4)), gang(role(4)), at(*rack(0, 0, 1, 2, 3)), *rack(0, 0, 1, 2, 3))
    assert (found.how, found.nodes) == ("gang", at(*rack(1, 0, 1, 2, 3)))


# --- Several roles ----------------------------------------------------------------------------------------------------


def test_each_role_gets_its_own_back_inside_the_domain_that_they_share() -> None:
    cluster = Cluster(racks(4, 4, per_leaf=2))
    shape = gang(role(4, segments=[("nvlink", 2)]), role(2, 1, name="reader"), required="leaf")
    nodes = (("r0-n0", "r0-n1", "r1-n0", "r1-n1"), ("r0-n2", "r1-n2"))
    found = mend(cluster, shape, nodes, "r1-n1")
    assert (found.moved, found.nodes[0][3], found.proven, found.how) == (((0, 3),), "r1-n3", True, "domain")
    found = mend(cluster, shape, nodes, "r1-n1", "r0-n2")
    assert found.moved == ((0, 3), (1, 0))
    assert found.nodes[0][3] == "r1-n3"
    # The reader needs one of four: it goes where another reader is already.
    assert found.nodes[1] == ("r1-n2", "r1-n2")


def test_a_role_makes_way_for_another_where_nothing_else_helps() -> None:
    # The reader holds a quarter of the only node that could take the worker whole.
    cluster = Cluster(racks(1, 3))
    nodes = (("r0-n0",), ("r0-n1",))
    found = mend(cluster.use("r0-n2", gpus_each=2), gang(role(1), role(1, 1, name="reader")), nodes, "r0-n0")
    assert found.nodes == (("r0-n1",), ("r0-n2",))
    assert found.moved == ((0, 0), (1, 0))


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def test_without_free_slots_the_verdict_counts_those_that_are_missing() -> None:
    cluster = Cluster(racks(2, 3)).use(*rack(1, 0, 1))
    cluster.nodes["r0-n1"] = replace(cluster.nodes["r0-n1"], cordoned=True)
    verdict = refuse(cluster, gang(role(3)), at(*rack(0, 0, 1, 2)), "r0-n0", "r0-n2")
    assert verdict.reason is Reason.INSUFFICIENT_CAPACITY
    assert dict(verdict.numbers) == {"pods": 2, "free": 1, "missing": 1}
    assert explain.sentence(verdict).startswith("needs 2 free slots, 1 are free: 1 missing")


def test_enough_slots_in_the_wrong_places_are_told_with_the_nearest_domain() -> None:
    cluster = Cluster(racks(3, 5)).use(*rack(0, 4), *rack(1, 0, 1, 2), *rack(2, 0, 1, 2, 3))
    verdict = refuse(cluster, gang(role(4, segments=[("nvlink", 4)])), at(*rack(0, 0, 1, 2, 3)), "r0-n0")
    assert verdict.reason is Reason.FRAGMENTED
    # r0 lacks one; r1 has two of the four that a whole segment needs.
    assert dict(verdict.numbers) == {
        "pods": 1,
        "free": 3,
        "level": "nvlink",
        "domain": "r0",
        "lacks": 1,
        "largest": 3,
    }
    # With three dead r0 lacks three, and r1, of which a node has become free, one.
    del cluster.used["r1-n0"]
    dead = ("r0-n0", "r0-n1", "r0-n2")
    verdict = refuse(cluster, gang(role(4, segments=[("nvlink", 4)])), at(*rack(0, 0, 1, 2, 3)), *dead)
    assert (verdict.number("domain"), verdict.number("lacks")) == ("r1", 1)


def test_several_roles_of_which_nothing_survives_get_the_verdict_on_placing_them() -> None:
    cluster = Cluster(racks(1, 3)).use("r0-n2")
    shape = gang(role(1), role(1, name="reader"))
    verdict = refuse(cluster, shape, (("r0-n0",), ("r0-n1",)), "r0-n0", "r0-n1")
    assert verdict == Solver().place(cluster.inventory(), shape)


def test_when_the_budget_ends_there_is_an_answer_without_a_proof() -> None:
    cluster = Cluster(racks(2, 9))
    nodes = at(*rack(0, 0, 1, 2, 3), *rack(0, 4, 5, 6, 7))
    shape = gang(role(8, segments=[("nvlink", 4)]))
    dead = ("r0-n0", "r0-n1", "r0-n4")
    here = cluster.dead(*dead).inventory()
    found = Solver().repair(here, shape, nodes, ranks_on(nodes, *dead), budget=1)
    assert isinstance(found, Repaired)
    assert (len(found.moved), found.proven) == (5, False)


def test_a_shape_that_the_levels_do_not_know_is_invalid_and_another_gangs_nodes_are_an_error() -> None:
    verdict = refuse(Cluster(racks(1, 3)), gang(role(2, required="pod")), at(*rack(0, 0, 1)), "r0-n0")
    assert verdict.reason is Reason.INVALID
    with pytest.raises(ValueError, match="not one of this shape"):
        Solver().repair(Cluster(racks(1, 3)).inventory(), gang(role(2)), at("r0-n0"), frozenset())


# --- Against the oracle -----------------------------------------------------------------------------------------------

KEPT = Solver()


@pytest.mark.parametrize("block", range(10))
def test_repairs_are_those_that_the_oracle_proves_to_be_best(block: int) -> None:
    for seed in range(100 + block * 30, 130 + block * 30):
        compare(seed)


def compare(seed: int) -> Repaired | Verdict:
    """One random state against CP-SAT."""
    state = oracle.random_broken(seed)
    answer = KEPT.repair(state.inventory(), state.shape(), state.placed(), state.lost())
    want = oracle.solve(state)
    if isinstance(answer, Repaired):
        got = oracle.check(state, answer.nodes)
        assert got[1:] == answer.objective.vector, seed
        changed = {
            (i, rank)
            for i, (before, after) in enumerate(zip(state.placed(), answer.nodes, strict=True))
            for rank in range(len(before))
            if before[rank] != after[rank]
        }
        assert set(answer.moved) == changed | state.lost(), seed
        assert want is not None, seed
        assert got == want[0] or (not answer.proven and got > want[0]), (seed, got, want[0])
        assert answer.proven or len(state.parts) > 1, seed
    elif answer.reason is not Reason.SEARCH_LIMIT:
        assert want is None, (seed, answer)
    return answer


def test_large_regions_are_filled_as_well_by_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_place, "SMALL", 0)
    for seed in range(400, 460):
        compare_vector(seed)


def compare_vector(seed: int) -> None:
    """What is not exact by the search says so."""
    state = oracle.random_broken(seed)
    answer = Solver().repair(state.inventory(), state.shape(), state.placed(), state.lost())
    want = oracle.solve(state)
    if isinstance(answer, Repaired):
        assert want is not None
        got = oracle.check(state, answer.nodes)
        assert got == want[0] or (not answer.proven and got > want[0]), (seed, got, want[0])
    elif answer.reason is not Reason.SEARCH_LIMIT:
        assert want is None, (seed, answer)


# --- What must not matter ---------------------------------------------------------------------------------------------


def test_neither_list_order_nor_what_the_solver_has_seen_before_matters() -> None:
    for seed in range(500, 560):
        state = oracle.random_broken(seed)
        first = Solver().repair(state.inventory(), state.shape(), state.placed(), state.lost())
        random.Random(seed).shuffle(state.spots)
        assert KEPT.repair(state.inventory(), state.shape(), state.placed(), state.lost()) == first, seed


def test_names_do_not_matter_as_long_as_their_order_stays() -> None:
    for seed in range(560, 600):
        state = oracle.random_broken(seed)
        before = Solver().repair(state.inventory(), state.shape(), state.placed(), state.lost())
        for spot in state.spots:
            spot.name += "-renamed"
            spot.path = tuple(value and f"{value}x" for value in spot.path)
        for part in state.parts:
            part.nodes = [f"{name}-renamed" for name in part.nodes]
        after = Solver().repair(state.inventory(), state.shape(), state.placed(), state.lost())
        if isinstance(before, Repaired):
            renamed = tuple(tuple(f"{name}-renamed" for name in mine) for mine in before.nodes)
            assert after == replace(before, nodes=renamed), seed
        else:
            assert isinstance(after, Verdict)
            assert after.reason is before.reason, seed


def test_a_solver_kept_through_many_failures_answers_as_one_built_afresh() -> None:
    rng = random.Random(5)
    kept, live = Solver(), Cluster(racks(9, 6, per_leaf=3))
    here = live.inventory()
    shape = gang(role(12, segments=[("nvlink", 4)]))
    nodes: Nodes = (tuple(f"r{r}-n{n}" for r in range(3) for n in range(4)),)
    mended = 0
    for step in range(80):
        here.claim("job", {name: gpus(4) for name in nodes[0]})
        name = rng.choice(sorted(live.nodes))
        if rng.random() < 0.4:
            name = rng.choice(nodes[0])
        alive = live.nodes[name].unready_since is not None
        live.nodes[name] = replace(live.nodes[name], unready_since=None if alive else 1)
        here.put_node(live.nodes[name])
        fork = here.fork()
        fork.release("job")
        lost = ranks_on(nodes, *(n for n, record in live.nodes.items() if record.unready_since is not None))
        answer = kept.repair(fork, shape, nodes, lost)
        assert answer == Solver().repair(live.inventory(), shape, nodes, lost), step
        if isinstance(answer, Repaired) and lost:
            mended += 1
            nodes = answer.nodes
    assert mended > 20
