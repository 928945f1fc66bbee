"""What is used on a node."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.support.cluster import GPU, gpus, inventory, node, pod, topology

from muster.core.changes import since
from muster.core.inventory import Inventory
from muster.core.model import Stage, Taint, TopologySpec
from muster.core.topology import CLIQUE, resolve


def one(*pods: object) -> Inventory:
    return inventory([node("a", 8), node("b", 8)], topology(), pods)  # type: ignore[arg-type]


def free(i: Inventory, name: str = "a") -> int:
    return dict(i.free_on(name)).get(GPU, 0)


def test_a_pod_adds_only_what_it_holds_beyond_the_claim_of_its_job() -> None:
    i = one()
    i.claim("j", {"a": gpus(4)})
    assert free(i) == 4
    i.use(pod("p", "a", 3, job="j"))
    assert free(i) == 4
    i.use(pod("q", "a", 3, job="j"))
    assert free(i) == 2
    i.release("j")
    assert free(i) == 2
    i.free("p")
    assert free(i) == 5


def test_the_maximum_is_taken_per_resource() -> None:
    i = one()
    i.claim("j", {"a": (("cpu", 1000), (GPU, 1), ("pods", 1))})
    i.use(pod("p", "a", (("cpu", 500), (GPU, 2), ("pods", 1)), job="j"))
    assert free(i) == 6
    assert i.overlaps("j") == ("a",)  # no cpu there at all


def test_pods_without_a_claim_count_by_themselves() -> None:
    assert free(one(pod("p", "a", 3, job="j"), pod("q", "a", 2))) == 3


def test_terminal_and_unplaced_pods_hold_nothing_and_unbound_ones_hold_where_they_are_pinned() -> None:
    i = one(
        pod("done", "a", 4, stage=Stage.SUCCEEDED),
        pod("loose", None, 4, stage=Stage.UNBOUND),
        pod("pinned", None, 1, stage=Stage.GATED, pinned="a"),
        pod("named", None, 2, stage=Stage.UNBOUND, nominated="a"),
    )
    assert free(i) == 5
    i.use(replace(pod("pinned", "b", 1), stage=Stage.BOUND))
    assert (free(i), free(i, "b")) == (6, 7)
    i.use(pod("pinned", "b", 1, stage=Stage.FAILED))
    assert free(i, "b") == 8


def test_daemon_pods_use_room_but_leave_a_node_intact() -> None:
    i = one(pod("d", "a", 1, daemon=True))
    assert i.intact().tolist() == [True, True]
    i.claim("j", {"b": gpus(1)})
    i.use(pod("p", "a", 1))
    assert i.intact().tolist() == [False, False]
    i.release("j")
    i.free("p")
    assert i.intact().tolist() == [True, True]


def test_overlapping_claims_are_seen_by_both() -> None:
    i = one()
    i.claim("j", {"a": gpus(6), "b": gpus(1)})
    i.claim("k", {"a": gpus(6)})
    assert i.overlaps("j") == i.overlaps("k") == ("a",)
    i.release("k")
    assert i.overlaps("j") == ()


def test_what_is_held_on_a_node_outlives_its_record() -> None:
    i = one(pod("p", "a", 3))
    i.drop_node("a")
    i.claim("j", {"a": gpus(1), "later": gpus(2)})
    i.put_node(node("a", 8))
    i.put_node(node("later", 8))
    assert (free(i), free(i, "later")) == (4, 6)


def test_host_ports_are_offered_once_by_every_node_and_pods_without_bound_unless_the_node_says() -> None:
    port = (("hostport/TCP/80", 1), ("pods", 1))
    i = inventory([node("a", ((GPU, 1),))], topology(), [pod("p", "a", port)])
    room = i.room("hostport/TCP/80")
    assert room is not None
    assert room[0].tolist() == [0]
    i.put_node(node("b", 1))
    room = i.room("hostport/TCP/80")
    assert room is not None
    assert room[0].tolist() == [0, 1]
    pods = i.room("pods")
    assert pods is not None
    assert pods[0][0] > 1 << 40


def test_forks_are_independent_and_emptied_forgets_use_and_health() -> None:
    i = one(pod("p", "a", 3))
    i.put_node(node("b", 8, cordoned=True))
    before = i.fingerprint()
    fork, empty = i.fork(), i.emptied()
    fork.claim("j", {"a": gpus(1)})
    assert (free(i), free(fork), free(empty)) == (5, 4, 8)
    i.use(pod("q", "a", 1))
    assert (free(i), free(fork), free(empty)) == (4, 4, 8)
    i.free("q")
    assert i.fingerprint() == before
    assert (i.cause("b"), empty.cause("b"), i.cause("zz")) == ("cordoned", "", "absent")


def test_only_what_matters_changes_the_version() -> None:
    i = one(pod("p", "a", 3))
    version, epoch = i.version, i.epoch
    i.use(replace(pod("p", "a", 3), rv=9))
    i.free("unknown")
    assert i.version == version
    i.put_node(node("a", 8, cordoned=True))
    assert i.version > version
    assert i.epoch is epoch
    i.put_node(node("a", 8, {"x": "y"}))
    assert i.epoch is not epoch


def test_what_the_empty_cluster_is_begins_a_new_epoch_and_only_another_layout_a_new_ground() -> None:
    i = inventory([node("a", 8, leaf="x"), node("b", 8, leaf="x"), node("c", 8, leaf="y")], topology("leaf"))
    epoch, ground = i.epoch, i.ground
    ill = Taint("node.kubernetes.io/unreachable", "", "NoExecute")
    i.put_node(node("a", 8, leaf="x", taints=(ill,), unready_since=3))
    assert i.epoch is epoch
    changes = (
        lambda: i.put_node(node("a", 8, leaf="x", taints=(Taint("t", "", "NoSchedule"),))),
        lambda: i.put_node(node("a", 4, leaf="x")),
        lambda: i.drop_node("a"),
        lambda: i.put_node(node("a", 4, leaf="x")),
    )
    for change in changes:
        epoch = i.epoch
        change()
        assert i.epoch is not epoch
        assert i.ground is ground
    for name, leaf in (("a", "y"), ("new", "x")):
        ground = i.ground
        i.put_node(node(name, 4, leaf=leaf))
        assert i.ground is not ground


def test_the_emptied_follows_as_if_made_anew() -> None:
    rng = random.Random(8)
    i = inventory([node(f"n{k}", 8) for k in range(9)], topology())
    empty, mark, ground = i.emptied(), i.mark(), i.ground
    for _ in range(300):
        name = f"n{rng.randrange(9)}"
        match rng.randrange(6):
            case 0:
                i.put_node(node(name, rng.randrange(9), taints=(Taint("t", str(rng.randrange(3)), "NoSchedule"),)))
            case 1:
                i.drop_node(name)
            case 2:
                i.claim(f"j{rng.randrange(3)}", {f"n{rng.randrange(14)}": gpus(2)})
            case 3:
                i.use(pod(f"p{rng.randrange(3)}", name, 1))
            case 4:
                i.put_node(node(name, 8, cordoned=rng.random() < 0.5))
            case 5 if i.ground is ground:
                rows = since(mark, i.mark())
                assert rows is not None
                empty.follow(i, rows)
                mark = i.mark()
                assert empty.fingerprint() == i.emptied().fingerprint()
        if i.ground is not ground:
            empty, mark, ground = i.emptied(), i.mark(), i.ground


def test_levels_are_those_that_the_nodes_make_whatever_came_and_went() -> None:
    rng = random.Random(4)
    labels = (
        CLIQUE,
        "topology.kubernetes.io/zone",
        "fabric.topograph.run/tier-0",
        "oci.oraclecloud.com/host.gpu_memory_fabric_id",
    )
    spec = TopologySpec("default", "t", 1, 1, "Auto", (), accelerators=(GPU,))
    i = Inventory()
    i.set_topology(spec)
    for _ in range(600):
        name = f"n{rng.randrange(6)}"
        if rng.random() < 0.3:
            i.drop_node(name)
        else:
            mine = {key: rng.choice(("", "x", "no-imds-data")) for key in labels if rng.random() < 0.2}
            i.put_node(node(name, rng.randrange(2), mine))
        assert i.levels == resolve(spec, i.present())


def test_incremental_amounts_equal_those_of_an_inventory_built_afresh() -> None:
    rng = random.Random(3)
    names = ["a", "b", "c"]
    nodes = {n: node(n, 8) for n in names}
    i = inventory(nodes.values(), topology())
    pods: dict[str, object] = {}
    claims: dict[str, dict[str, object]] = {}
    for _ in range(400):
        match rng.randrange(6):
            case 0 | 1:
                p = pod(f"p{rng.randrange(9)}", rng.choice(names), rng.randrange(4), job=rng.choice([None, "j", "k"]))
                pods[p.id] = p
                i.use(p)
            case 2:
                gone = f"p{rng.randrange(9)}"
                pods.pop(gone, None)
                i.free(gone)
            case 3:
                owner = rng.choice(["j", "k"])
                claims[owner] = {n: gpus(rng.randrange(5)) for n in names if rng.random() < 0.6}
                i.claim(owner, claims[owner])  # type: ignore[arg-type]
            case 4:
                name = rng.choice(names)
                i.drop_node(name)
                nodes.pop(name, None)
            case _:
                name = rng.choice(names)
                nodes[name] = node(name, rng.randrange(9))
                i.put_node(nodes[name])
        fresh = inventory(nodes.values(), topology(), pods.values())  # type: ignore[arg-type]
        for owner, load in claims.items():
            fresh.claim(owner, load)  # type: ignore[arg-type]
        for name in nodes:
            assert i.free_on(name) == fresh.free_on(name)
            assert i.intact()[i._row[name]] == fresh.intact()[fresh._row[name]]
        assert i.fingerprint() == fresh.fingerprint()


def test_who_holds_a_node_is_known_through_events_and_forks() -> None:
    rng = random.Random(5)
    kept, events = one(), []
    kept.index_pods()
    for step in range(300):
        id_ = f"p{rng.randrange(12)}"
        if rng.random() < 0.3:
            events.append(("free", id_, None))
        else:
            daemon = id_ < "p2"
            where, pinned = rng.choice([("a", None), ("b", None), (None, "a"), (None, None)])
            named = rng.choice([None, "b"]) if where is None else None
            job = None if daemon else rng.choice([None, "j", "k"])
            made = pod(id_, where, rng.randint(1, 3), job=job, daemon=daemon, pinned=pinned, nominated=named)
            events.append(("use", id_, replace(made, stage=Stage.RUNNING if where else Stage.UNBOUND)))
        kept = kept.fork() if rng.random() < 0.1 else kept
        fresh = one()
        for here in (kept, fresh):
            for what, id_, made_ in events[-1:] if here is kept else events:
                here.use(made_) if what == "use" and made_ is not None else here.free(id_)
            here.claim("k", {"a": gpus(2)})
        theirs, ours = fresh.holders(["a", "b"]), kept.holders(["a", "b"])
        for name in ("a", "b"):
            assert sorted(map(repr, ours[name])) == sorted(map(repr, theirs[name])), step


def test_a_holder_is_a_job_with_the_larger_of_claim_and_pods_or_all_other_pods_together() -> None:
    i = one(pod("p", "a", 1, job="j"), pod("q", "a", 2), pod("r", "a", 1), pod("d", "a", 1, daemon=True))
    i.claim("j", {"a": gpus(3)})
    (job, others, daemons) = i.holders(["a"])["a"]
    assert (job.owner, dict(job.amounts)[GPU], job.pods) == ("j", 3, 1)
    assert (others.owner, dict(others.amounts)[GPU], others.pods, others.daemon) == (None, 3, 2, False)
    assert (daemons.owner, dict(daemons.amounts)[GPU], daemons.pods, daemons.daemon) == (None, 1, 1, True)
    assert i.holders(["b"]) == {"b": []}
