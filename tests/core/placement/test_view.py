"""Who may be used, judged for all nodes at once as for each."""

from __future__ import annotations

import random

from tests.support.cluster import inventory, node, topology

from muster.core.model import Filter, Requirement, Taint, Toleration
from muster.core.placement.tree import Tree
from muster.core.placement.view import _AFFINITY, _SELECTOR, Eligible, unfit


def test_all_nodes_at_once_are_judged_as_one_by_one() -> None:
    rng = random.Random(5)
    taints = (Taint("a", "x", "NoSchedule"), Taint("node.kubernetes.io/x", "", "NoExecute"), Taint("b", "", "Prefer"))
    nodes = [
        node(
            f"n{i}",
            4,
            {key: str(rng.randrange(4)) for key in ("k", "m") if rng.random() < 0.8},
            taints=tuple(rng.sample(taints, rng.randrange(3))),
        )
        for i in range(60)
    ]
    here = inventory(nodes, topology())
    tree = Tree(here)

    def requirement() -> Requirement:
        operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
        if rng.random() < 0.2:
            return Requirement("metadata.name", rng.choice(("In", "NotIn")), (f"n{rng.randrange(70)}", "n1"))
        counts = {"In": 2, "NotIn": 2, "Exists": 0, "DoesNotExist": 0, "Gt": 1, "Lt": 1}
        values = tuple(str(rng.randrange(5)) for _ in range(counts[operator]))
        return Requirement(rng.choice(("k", "m", "z")), operator, values)

    for _ in range(300):
        terms = [tuple(requirement() for _ in range(rng.randrange(3))) for _ in range(rng.randint(1, 3))]
        wanted = Filter(
            selector=(("k", "1"),) if rng.random() < 0.3 else (),
            affinity=(tuple(terms),) if rng.random() < 0.8 else (),
            tolerations=(Toleration("a", "Exists", "", ""),) if rng.random() < 0.5 else (),
        )
        for state in (here, here.emptied()):
            found = Eligible(tree, wanted)
            taints = found.repelled(state.taints(), state.rulebook if state.healthy else None)
            numbers = state.look(tree.rows, [])[0][2].tolist()
            told = [
                {_SELECTOR: "selector", _AFFINITY: "affinity", 0: taints[number]}[code]
                for code, number in zip(found.code.tolist(), numbers, strict=True)
            ]
            assert told == [
                unfit(state.node(name), wanted, state.rulebook if state.healthy else None) for name in tree.names
            ]
