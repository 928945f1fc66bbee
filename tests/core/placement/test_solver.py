"""What the solver decides, in words."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from tests.support.cluster import PREFIX, gang, gpus, inventory, node, pod, racks, role, topology

from muster.core.inventory import CAUSES, HELD, Inventory
from muster.core.model import (
    ActionKind,
    Filter,
    Found,
    HealthAction,
    HealthRule,
    Level,
    Reason,
    Shape,
    Taint,
    Toleration,
    Verdict,
)
from muster.core.placement import Solver
from muster.core.topology import natural

LEAVES = topology("leaf", "nvlink")


def place(i: Inventory, shape: Shape) -> Found:
    found = Solver().place(i, shape)
    assert isinstance(found, Found), found
    return found


def refuse(i: Inventory, shape: Shape) -> Verdict:
    verdict = Solver().place(i, shape)
    assert isinstance(verdict, Verdict)
    return verdict


def uneven(*sizes: int, used: tuple[int, ...] = ()) -> Inventory:
    nodes = [node(f"r{r}-n{n}", nvlink=f"r{r}") for r, size in enumerate(sizes) for n in range(size)]
    pods = []
    for r in used:
        nodes.append(node(f"r{r}-used", nvlink=f"r{r}"))
        pods.append(pod(f"p{r}", f"r{r}-used"))
    return inventory(nodes, topology("nvlink"), pods)


def by_rack(found: Found) -> Counter[str]:
    return Counter(name.split("-")[0] for name in found.nodes[0])


def test_twenty_from_19_10_10_takes_the_tens_for_they_leave_less_over() -> None:
    assert by_rack(place(uneven(19, 10, 10), gang(role(20)))) == {"r1": 10, "r2": 10}


def test_a_refusal_restated_with_less_room_is_what_deciding_it_anew_would_say() -> None:
    draw, restated, counted = random.Random(5), 0, 0
    for _ in range(300):
        sizes = [draw.randint(1, 6) for _ in range(draw.randint(1, 4))]
        i = uneven(*sizes, used=tuple(r for r in range(len(sizes)) if draw.random() < 0.3))
        shape = gang(role(draw.randint(2, 9), segments=draw.choice([(), [("nvlink", draw.randint(2, 3))]])))
        names = [f"r{r}-n{n}" for r, size in enumerate(sizes) for n in range(size)]
        draw.shuffle(names)
        kept = Solver()
        for name in names:
            before = kept.place(i, shape)
            i.use(pod(f"later-{name}", name))
            if isinstance(before, Verdict):
                now, asked = refuse(i, shape), kept.asked
                assert kept.restated(i, shape) == now
                assert kept.place(i, shape) == now
                assert kept.asked == asked
                restated += 1
            few = kept.crowded(i, shape)
            counted += few is not None
            assert few is None or few == refuse(i, shape)
    assert restated > 500
    assert counted > 500


def test_eighteen_from_18_9_9_takes_the_intact_18_for_cost_comes_first() -> None:
    assert by_rack(place(uneven(18, 9, 9, used=(1, 2)), gang(role(18)))) == {"r0": 18}


def test_one_name_under_two_leaves_is_two_racks() -> None:
    nodes = [node(f"{leaf}-{n}", leaf=leaf, nvlink="same") for leaf in ("a", "b") for n in range(3)]
    i = inventory(nodes, LEAVES)
    assert place(i, gang(role(4))).domains == (("leaf", 2), ("nvlink", 2))
    verdict = refuse(i, gang(role(4, required="nvlink")))
    assert (verdict.reason, verdict.number("largest")) == (Reason.UNSATISFIABLE, 3)


def test_nodes_without_a_needed_label_are_not_eligible_and_others_are_domains_of_their_own() -> None:
    i = inventory([node("a", leaf="l"), node("b", leaf="l"), node("c", leaf="l", nvlink="r")], LEAVES)
    assert place(i, gang(role(3))).domains == (("leaf", 1), ("nvlink", 3))
    assert place(i, gang(role(2, required="leaf"))).domains == (("leaf", 1), ("nvlink", 2))
    verdict = refuse(i, gang(role(2, required="nvlink")))
    assert verdict.reason is Reason.UNSATISFIABLE
    assert verdict.exclusions == (("unlabelled nvlink", 2),)


def test_preferred_comes_before_cost_and_least_is_that_of_the_empty_cluster() -> None:
    i = inventory(racks(4, 4, per_leaf=2), LEAVES, [pod("x", "r0-n0"), pod("y", "r2-n0")])
    found = place(i, gang(role(8, preferred="leaf")))
    assert found.domains == (("leaf", 2), ("nvlink", 2)) or found.objective.preferred == 1
    assert found.least == (("leaf", 1), ("nvlink", 2))
    assert found.preferred_least == 1


def test_a_fill_limit_leaves_the_spare_nodes_of_a_rack_alone() -> None:
    spec = topology(Level("nvlink", (PREFIX + "nvlink",), fill_limit=3))
    i = inventory(racks(2, 4), spec)
    assert by_rack(place(i, gang(role(6)))) == {"r0": 3, "r1": 3}
    verdict = refuse(i, gang(role(7)))
    assert (verdict.reason, verdict.number("constraint"), verdict.number("largest")) == (
        Reason.UNSATISFIABLE,
        "fillLimit",
        6,
    )


def test_a_boundary_is_never_crossed() -> None:
    nodes = [node(f"{z}{n}", zone=z) for z in "ab" for n in range(3)]
    i = inventory(nodes, topology(Level("zone", (PREFIX + "zone",), boundary=True)))
    assert len({n[0] for n in place(i, gang(role(3))).nodes[0]}) == 1
    assert refuse(i, gang(role(4))).number("constraint") == "boundary"


# --- Ranks ------------------------------------------------------------------------------------------------------------


def test_ranks_are_consecutive_in_domains_most_pods_first_then_natural_order() -> None:
    nodes = [node(f"r{r}-n{n}", leaf="l", nvlink=f"r{r}") for r, size in ((2, 3), (10, 5), (1, 3)) for n in range(size)]
    found = place(inventory(nodes, LEAVES), gang(role(11)))
    assert list(dict.fromkeys(n.split("-")[0] for n in found.nodes[0])) == ["r10", "r1", "r2"]
    for rack in ("r10", "r1", "r2"):
        mine = [n for n in found.nodes[0] if n.startswith(rack + "-")]
        assert mine == sorted(mine, key=natural)


def test_the_domain_with_the_shorter_last_segment_comes_last_though_it_holds_more() -> None:
    found = place(uneven(4, 7), gang(role(11, segments=[("nvlink", 4)])))
    assert [n.split("-")[0] for n in found.nodes[0]] == ["r0"] * 4 + ["r1"] * 7


def test_nodes_with_more_pods_come_first() -> None:
    i = inventory([node("a", 8, nvlink="r"), node("b", 12, nvlink="r")], topology("nvlink"))
    assert place(i, gang(role(5))).nodes[0] == ("b", "b", "b", "a", "a")


def test_uneven_segments_follow_their_sizes() -> None:
    found = place(uneven(8, 8), gang(role(16, segments=[("nvlink", (4, 8, 4))])))
    racks_ = [n.split("-")[0] for n in found.nodes[0]]
    assert len(set(racks_[:4])) == len(set(racks_[4:12])) == 1
    assert racks_[0] == racks_[12] != racks_[4]


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def test_missing_capacity_is_counted_with_its_causes() -> None:
    taint = Taint("team", "x", "NoSchedule")
    nodes = [
        node("a"),
        node("b", taints=(taint,)),
        node("c", cordoned=True),
        node("d", unready_since=5),
        node("e"),
        node("f", ()),
    ]
    i = inventory(nodes, topology(), [pod("p", "e", 2)])
    verdict = refuse(i, gang(role(4)))
    assert verdict.reason is Reason.INSUFFICIENT_CAPACITY
    assert dict(verdict.numbers) == {"pods": 4, "free": 1, "missing": 3}
    assert dict(verdict.exclusions) == {
        "cordoned": 1,
        "NotReady": 1,
        "taint team=x:NoSchedule": 1,
        "nvidia.com/gpu": 2,
    }
    tolerant = Filter(tolerations=(Toleration("team", "Equal", "x", ""),))
    assert place(i, gang(role(2, filter_=tolerant))).nodes == (("a", "b"),)


def test_causes_of_health_rules_are_counted_beside_those_of_the_filter() -> None:
    rules = (
        HealthRule("condition", "GPUMissing", "True", HealthAction.DRAIN),
        HealthRule("taint", "doomed", None, HealthAction.AVOID),
    )
    nodes = [
        replace(node("a"), conditions=(("GPUMissing", "True", 1),)),
        node("b", taints=(Taint("doomed", "", "NoSchedule"),)),
        node("c", labels={"pool": "x"}),
        node("d", labels={"pool": "y"}),
        node("e", labels={"pool": "x"}),
    ]
    nodes = [replace(n, labels={"pool": "x", **n.labels}) for n in nodes]
    i = inventory(nodes, replace(topology(), health_rules=rules))
    i.withhold("e", HELD)
    picky = Filter(selector=(("pool", "x"),))
    verdict = refuse(i, gang(role(4, filter_=picky)))
    assert (verdict.reason, dict(verdict.exclusions)) == (
        Reason.INSUFFICIENT_CAPACITY,
        {"condition GPUMissing=True": 1, "taint doomed": 1, CAUSES[HELD]: 1, "selector": 1},
    )
    assert refuse(i, gang(role(5, filter_=picky))).reason is Reason.UNSATISFIABLE
    remedy = Solver().remedy(i, gang(role(4, filter_=picky)), verdict)
    assert remedy is not None
    assert {(a.kind, a.target) for a in remedy.actions} == {(ActionKind.HEAL, n) for n in ("a", "b", "e")}
    i.withhold("e", None)
    i.set_topology(replace(topology(), health_rules=()))
    assert dict(refuse(i, gang(role(4, filter_=picky))).exclusions) == {"selector": 1, "taint doomed:NoSchedule": 1}


def test_a_pod_without_accelerators_can_block_a_node() -> None:
    big = (("cpu", 4000), ("nvidia.com/gpu", 4), ("pods", 10))
    i = inventory([node("a", big), node("b", big)], topology(), [pod("p", "a", (("cpu", 3000), ("pods", 1)))])
    asks = (("cpu", 2000), ("nvidia.com/gpu", 1), ("pods", 1))
    verdict = refuse(i, gang(role(3, asks)))
    assert (verdict.number("free"), verdict.exclusions) == (2, (("cpu", 1),))


def test_fragmentation_names_the_best_domain_and_what_it_lacks() -> None:
    i = inventory(racks(3, 4), LEAVES, [pod("a", "r0-n0"), pod("b", "r1-n0"), pod("c", "r1-n1"), pod("d", "r2-n3")])
    verdict = refuse(i, gang(role(4, required="nvlink")))
    assert verdict.reason is Reason.FRAGMENTED
    assert dict(verdict.numbers) == {"pods": 4, "free": 8, "level": "nvlink", "domain": "r0", "lacks": 1, "largest": 3}
    verdict = refuse(i, gang(role(8, segments=[("nvlink", 4)])))
    assert (verdict.number("domain"), verdict.number("lacks"), verdict.number("largest")) == ("r0", 1, 3)


def test_what_the_empty_cluster_cannot_hold_is_unsatisfiable() -> None:
    i = inventory(racks(2, 4), LEAVES, [pod("p", "r0-n0")])
    for shape, constraint, largest in (
        (gang(role(9)), "capacity", 8),
        (gang(role(5, required="nvlink")), "required", 4),
        (gang(role(8, segments=[("nvlink", 3)])), "segments", 7),
        (gang(role(1, filter_=Filter(selector=(("no", "such"),)))), "nodes", 0),
    ):
        verdict = refuse(i, shape)
        assert (verdict.reason, verdict.number("constraint")) == (Reason.UNSATISFIABLE, constraint)
        assert verdict.number("largest") == largest


def test_what_does_not_add_up_is_invalid_and_names_the_field() -> None:
    i = inventory(racks(1, 4), LEAVES)
    for shape, field in (
        (gang(role(1, required="row")), "spec.roles[0].topology.required.level"),
        (gang(role(1), preferred="row"), "spec.topology.preferred.level"),
        (gang(role(4, segments=[("nvlink", (1, 2))])), "spec.roles[0].topology.segments[0]"),
        (gang(role(8, segments=[("nvlink", 4), ("leaf", 6)])), "spec.roles[0].topology.segments"),
    ):
        verdict = refuse(i, shape)
        assert (verdict.reason, verdict.number("field")) == (Reason.INVALID, field)
    broken = inventory(racks(1, 4), topology("leaf", "leaf"))
    assert str(refuse(broken, gang(role(1))).number("field")).startswith("ClusterTopology")


# --- A committed placement --------------------------------------------------------------------------------------------


def test_a_committed_placement_is_judged_by_labels_and_taints_but_not_by_room() -> None:
    i = inventory(racks(2, 4), LEAVES)
    shape = gang(role(4, required="nvlink"))
    solver = Solver()
    nodes = place(i, shape).nodes
    i.claim("j", {n: gpus(4) for n in nodes[0]})
    i.use(pod("other", nodes[0][0]))
    assert solver.fits(i, shape, nodes) is None
    i.put_node(node(nodes[0][0], leaf="l0", nvlink="elsewhere"))
    verdict = solver.fits(i, shape, nodes)
    assert verdict is not None
    assert (verdict.reason, verdict.number("constraint")) == (Reason.FRAGMENTED, "required")
    i.put_node(node(nodes[0][0], leaf="l0", nvlink="r0", cordoned=True))
    verdict = solver.fits(i, shape, nodes)
    assert verdict is not None
    assert verdict.exclusions == (("cordoned", 1),)
    i.drop_node(nodes[0][0])
    verdict = solver.fits(i, shape, nodes)
    assert verdict is not None
    assert verdict.exclusions == (("absent", 1),)


# --- Several roles ----------------------------------------------------------------------------------------------------


def test_roles_share_nodes_and_the_domain_that_the_job_requires() -> None:
    i = inventory(racks(3, 4), LEAVES, [pod("p", "r0-n0", 2)])
    shape = gang(role(3, 4, name="worker"), role(2, 2, name="helper"), required="nvlink")
    found = place(i, shape)
    load: Counter[str] = Counter()
    for name in found.nodes[0]:
        load[name] += 4
    for name in found.nodes[1]:
        load[name] += 2
    assert max(load.values()) <= 4
    assert len({n.split("-")[0] for n in load}) == 1
    assert found.proven
    assert found.bound == found.objective.vector
    assert Solver().fits(i, shape, found.nodes) is None


def test_a_role_that_cannot_be_placed_is_named() -> None:
    i = inventory(racks(1, 4), LEAVES)
    verdict = refuse(i, gang(role(1), role(9, 1, name="big", filter_=Filter(selector=(("x", "y"),)))))
    assert (verdict.reason, verdict.number("role")) == (Reason.UNSATISFIABLE, "big")


def test_roles_that_fit_one_by_one_but_not_together_are_refused_with_proof_where_it_is_cheap() -> None:
    i = inventory(racks(1, 4), LEAVES)
    assert refuse(i, gang(role(3, name="a"), role(3, name="b"))).reason is Reason.UNSATISFIABLE
    i = inventory(racks(1, 8), LEAVES, [pod(f"p{n}", f"r0-n{n}") for n in range(3)])
    assert refuse(i, gang(role(3, name="a"), role(3, name="b"))).reason is Reason.INSUFFICIENT_CAPACITY


def test_many_uneven_sizes_are_still_placed_whole() -> None:
    sizes = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    found = place(inventory(racks(6, 18), LEAVES), gang(role(sum(sizes), segments=[("nvlink", sizes)])))
    at = 0
    for size in sizes:
        assert len({n.split("-")[0] for n in found.nodes[0][at : at + size]}) == 1
        at += size
    assert max(Counter(found.nodes[0]).values()) == 1


def test_the_order_in_which_nodes_arrive_does_not_matter() -> None:
    nodes = racks(6, 5, per_leaf=2)
    shape = gang(role(13, segments=[("nvlink", 3)]))
    want = place(inventory(nodes, LEAVES), shape)
    for seed in range(5):
        random.Random(seed).shuffle(nodes)
        assert place(inventory(nodes, LEAVES), shape) == want


def test_the_whole_nodes_counted_for_a_gang_are_those_that_the_largest_gang_gets() -> None:
    for seed in range(12):
        draw = random.Random(seed)
        nodes = racks(4, 6, per_leaf=2)
        nodes += [node("no-gpu", 0, leaf="l0", nvlink="r0"), node("no-rack", leaf="l1")]
        nodes = [replace(n, cordoned=draw.random() < 0.15) for n in nodes]
        held = [n.name for n in nodes if draw.random() < 0.3]
        i = inventory(nodes, LEAVES, [pod(f"p-{name}", name, 1) for name in held])
        solver = Solver()
        found = solver.whole_nodes(i, ["nvidia.com/gpu"], [1, 2, 4])
        assert list(found) == [(level, size) for size in (1, 2, 4) for level in ("leaf", "nvlink")]
        for (level, size), most in found.items():
            shapes = {n: gang(role(n, required=level, segments=[("nvlink", size)])) for n in range(size, 30, size)}
            fit = [n for n, shape in shapes.items() if isinstance(solver.place(i, shape), Found)]
            assert most == max(fit, default=0), (seed, level, size)
    assert Solver().whole_nodes(Inventory(), ["nvidia.com/gpu"], [1]) == {}
    assert Solver().whole_nodes(inventory([], LEAVES), ["nvidia.com/gpu"], [1]) == {("leaf", 1): 0, ("nvlink", 1): 0}
