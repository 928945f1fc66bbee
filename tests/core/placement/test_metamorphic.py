"""What must not change the answer, and what may change it in one way only."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.core.placement import oracle
from tests.support.cluster import PREFIX, gang, gpus, inventory, node, pod, role, topology

from muster.core import changes
from muster.core.inventory import Inventory
from muster.core.model import Filter, Found, Level, Node, Pod, Resources, Shape, Taint
from muster.core.placement import Solver, kept, sums

SPEC = topology("spine", "leaf", Level("nvlink", (PREFIX + "nvlink",), fill_limit=5))
SHAPES = (
    gang(role(5)),
    gang(role(9, 2, segments=[("nvlink", 4)])),
    gang(role(12, 1, segments=[("nvlink", 3), ("leaf", 6)])),
    gang(role(4, 2, required="leaf")),
    gang(role(7, 1, preferred="leaf"), preferred="spine"),
    gang(role(5, segments=[("nvlink", (2, 3))])),
    gang(role(3), role(2, 1, name="helper"), required="spine"),
    gang(role(2, filter_=Filter(selector=(("kind", "b"),)))),
)


class Records:
    """A cluster as records, beside the inventory that was told of every change."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.claims: dict[str, dict[str, Resources]] = {}
        self.gone: dict[str, Node] = {}
        self.kept = Inventory()
        self.kept.set_topology(SPEC)
        for r in range(9):
            for n in range(6):
                self._put(
                    node(f"r{r}-n{n}", 4, {"kind": "ab"[n % 2]}, spine=f"s{r // 4}", leaf=f"l{r // 2}", nvlink=f"r{r}")
                )

    def fresh(self) -> Inventory:
        """The same, built anew in another order."""
        nodes, pods = list(self.nodes.values()), list(self.pods.values())
        self.rng.shuffle(nodes)
        self.rng.shuffle(pods)
        out = inventory(nodes, SPEC, pods)
        for owner, load in self.claims.items():
            out.claim(owner, load)
        return out

    def _put(self, record: Node) -> None:
        self.nodes[record.name] = record
        self.kept.put_node(record)

    def happen(self) -> None:
        """One event; what is made anew after a node comes or is relabelled is rare."""
        rng, name = self.rng, self.rng.choice(sorted(self.nodes))
        kinds = {"use": 8, "free": 8, "claim": 4, "release": 4, "cordon": 3, "taint": 1, "ill": 1, "amount": 0.5}
        kinds |= {"drop": 1, "back": 1, "kind": 0.2, "move": 0.2, "new": 0.2}
        match rng.choices(tuple(kinds), tuple(kinds.values()))[0]:
            case "use":
                made = pod(f"p{rng.randrange(60)}", name, rng.randint(1, 4), daemon=rng.random() < 0.1)
                self.pods[made.id] = made
                self.kept.use(made)
            case "free" if self.pods:
                gone = rng.choice(sorted(self.pods))
                del self.pods[gone]
                self.kept.free(gone)
            case "claim":
                load = {n: gpus(rng.randint(1, 4)) for n in rng.sample(sorted(self.nodes), 4)}
                owner = f"j{rng.randrange(6)}"
                self.claims[owner] = load
                self.kept.claim(owner, load)
            case "release" if self.claims:
                owner = rng.choice(sorted(self.claims))
                del self.claims[owner]
                self.kept.release(owner)
            case "cordon":
                self._put(replace(self.nodes[name], cordoned=not self.nodes[name].cordoned))
            case "taint" | "ill" as which:
                key = "t" if which == "taint" else "node.kubernetes.io/unreachable"
                taints = () if self.nodes[name].taints else (Taint(key, "v", "NoSchedule"),)
                self._put(replace(self.nodes[name], taints=taints))
            case "amount":
                self._put(replace(self.nodes[name], allocatable=gpus(rng.choice((2, 4, 8)), 110)))
            case "drop" if len(self.nodes) > 20:
                self.gone[name] = self.nodes.pop(name)
                self.kept.drop_node(name)
            case "back" if self.gone:
                self._put(self.gone.pop(rng.choice(sorted(self.gone))))
            case "kind":
                labels = dict(self.nodes[name].labels)
                labels["kind"] = "b" if labels["kind"] == "a" else "a"
                self._put(replace(self.nodes[name], labels=labels))
            case "move":
                self._put(replace(self.nodes[rng.choice(sorted(self.nodes))], name=name, uid=name))
            case "new":
                like = self.nodes[name]
                self._put(replace(like, name=f"{name}{len(self.nodes)}", uid=name))


def ask(solver: Solver, where: Inventory, shape: Shape) -> object:
    return solver.place(where, shape)


@pytest.mark.parametrize("small", [False, True], ids=["", "with caches that are always too small"])
def test_a_solver_kept_through_a_thousand_events_answers_as_one_built_afresh(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        monkeypatch.setattr(changes, "LIMIT", 8)
        monkeypatch.setattr(kept, "BYTES", 40_000)
        monkeypatch.setattr(kept, "_SEARCHES", 2)
        monkeypatch.setattr(sums, "_ENTRY", 2000)
    records, solver = Records(3), Solver()
    for step in range(1000):
        records.happen()
        shape = SHAPES[records.rng.randrange(len(SHAPES))]
        if step % 3 == 0:
            # A what-if between two questions must leave no trace.
            fork = records.kept.fork()
            found = solver.place(fork, shape)
            if isinstance(found, Found):
                fork.claim("what-if", {name: gpus(4) for name in found.nodes[0]})
                solver.place(fork, shape)
        if step % 4 == 0:
            assert ask(solver, records.kept, shape) == ask(Solver(), records.fresh(), shape), step


def test_names_of_nodes_and_domains_do_not_matter_as_long_as_their_order_stays() -> None:
    for seed in range(400, 440):
        state = oracle.random_state(seed)
        before = Solver().place(state.inventory(), state.shape())
        names = {spot.name: f"{spot.name}-renamed" for spot in state.spots}
        for spot in state.spots:
            spot.name = names[spot.name]
            spot.path = tuple(value and f"{value}x" for value in spot.path)
        after = Solver().place(state.inventory(), state.shape())
        if isinstance(before, Found):
            assert isinstance(after, Found)
            assert after == replace(before, nodes=(tuple(names[name] for name in before.nodes[0]),)), seed
        else:
            assert not isinstance(after, Found)
            assert after.reason is before.reason


def test_any_names_give_the_same_verdict_and_vector() -> None:
    for seed in range(440, 480):
        state = oracle.random_state(seed)
        before = Solver().place(state.inventory(), state.shape())
        rng = random.Random(seed)
        others = [f"m{i}" for i in rng.sample(range(1000), len(state.spots))]
        labels: dict[tuple[int, str], str] = {}
        for spot, name in zip(state.spots, others, strict=True):
            spot.name = name
            spot.path = tuple(
                None if value is None else labels.setdefault((d, value), f"d{d}-{rng.random()}")
                for d, value in enumerate(spot.path)
            )
        after = Solver().place(state.inventory(), state.shape())
        if isinstance(before, Found):
            assert isinstance(after, Found)
            assert (after.objective, after.least) == (before.objective, before.least)
        else:
            assert not isinstance(after, Found)
            assert (after.reason, after.number("largest")) == (before.reason, before.number("largest"))


def test_a_gang_of_any_size_is_placed_as_by_a_search_made_for_it_alone() -> None:
    state = oracle.random_state(11, 120)
    here = state.inventory()
    kept_solver = Solver()
    for pods in (3, 30, 7, 60, 1, 16):
        for segments in ((), (("nvlink", 2),)):
            shape = gang(role(pods, 1, segments=segments))
            assert kept_solver.place(here, shape) == Solver().place(here, shape)
