"""Which nodes a pod may use, by all three that judge it: one node at a time, all nodes at once, the embedded scheduler.

The three share no code for labels and taints (the first two share what is not an equality of values), so each is the
others' oracle; the table says what Kubernetes itself does where people would guess otherwise.
"""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cluster import inventory, topology

from muster.core import eligibility
from muster.core.model import Filter, Node
from muster.core.placement import view
from muster.core.placement.tree import Tree
from muster.embedded.nodes import demands
from muster.embedded.nodes.seats import Seat
from muster.kube import parse
from muster.kube.requests import filter_of

Wire = dict[str, Any]
KEYS = ("zone", "gen", "nvidia.com/gpu.product")
TEXTS = (
    "a",
    "b",
    "",
    "0",
    "7",
    "8",
    "007",
    "1_0",
    "-7",
    "+7",
    "9223372036854775807",
    "9223372036854775808",
    "7.0",
    "0x7",
)
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(TEXTS))
taint = st.fixed_dictionaries(
    {"key": st.sampled_from(KEYS), "effect": st.sampled_from(EFFECTS)}, optional={"value": st.sampled_from(TEXTS)}
)


@st.composite
def requirement(draw: st.DrawFn, fields: bool = False) -> Wire:
    """A line of a node selector term; `fields`: one of matchFields."""
    if fields:
        name = f"n{draw(st.integers(0, 4))}"
        return {"key": "metadata.name", "operator": draw(st.sampled_from(("In", "NotIn"))), "values": [name]}
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")))
    most = {"In": (1, 3), "NotIn": (1, 3), "Gt": (1, 1), "Lt": (1, 1)}.get(operator)
    made: Wire = {"key": draw(st.sampled_from(KEYS)), "operator": operator}
    if most is not None:
        made["values"] = draw(st.lists(st.sampled_from(TEXTS), min_size=most[0], max_size=most[1]))
    return made


term = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(requirement(), max_size=2),
        "matchFields": st.lists(requirement(fields=True), max_size=2),
    },
)


@st.composite
def toleration(draw: st.DrawFn) -> Wire:
    """A toleration as the API admits it, and with what it would refuse."""
    made: Wire = {}
    for name, values in (
        ("key", (*KEYS, "")),
        ("operator", ("Equal", "Exists", "Lt", "Gt", "")),
        ("value", TEXTS),
        ("effect", (*EFFECTS, "")),
    ):
        if draw(st.booleans()):
            made[name] = draw(st.sampled_from(values))
    return made


@st.composite
def specs(draw: st.DrawFn) -> Wire:
    """The part of a pod's spec that decides."""
    made: Wire = {"containers": []}
    if draw(st.booleans()):
        made["nodeSelector"] = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(TEXTS), max_size=2))
    if draw(st.integers(0, 3)):
        terms = draw(st.lists(term, min_size=1, max_size=3))
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        made["affinity"] = {"nodeAffinity": required}
    made["tolerations"] = draw(st.lists(toleration(), max_size=3))
    return made


def node(name: str, its_labels: Wire, taints: list[Wire]) -> Wire:
    """A Node that is Ready."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": its_labels},
        "spec": {"taints": taints} if taints else {},
        "status": {"allocatable": {"pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def embedded(wire: Wire, spec: Wire) -> str:
    """What the embedded scheduler says of the node; empty: it fits."""
    seat = Seat(wire["metadata"]["name"])
    seat.describe(msgspec.convert(wire, demands.NodeItem))
    wanted = demands.demand_of(msgspec.convert(spec, demands.PodSpec))
    return "".join(seat.reasons("pod", wanted))


def judged(nodes: list[Wire], spec: Wire) -> list[tuple[bool, bool, bool, bool]]:
    """Per node: may the pod use it, as each of the three says (all at once by `Eligible` and one by one by `unfit`)."""
    wanted: Filter = filter_of(spec)
    records: list[Node] = [parse.node(json.dumps(each).encode()) for each in nodes]
    here = inventory(records, topology())
    tree = Tree(here)
    found = view.Eligible(tree, wanted)
    borne = [not why for why in found.repelled(here.taints(), here.rulebook if here.healthy else None)]
    numbers = here.look(tree.rows, [])[0][2]
    at_once = {name: found.code[i] == 0 and borne[numbers[i]] for i, name in enumerate(tree.names)}
    return [
        (
            eligibility.unfit(record, wanted) is None,
            not view.unfit(record, wanted),
            bool(at_once[record.name]),
            not embedded(wire, spec),
        )
        for wire, record in zip(nodes, records, strict=True)
    ]


@settings(max_examples=300, deadline=None, derandomize=bool(os.environ.get("CI")))
@given(st.lists(st.tuples(labels, st.lists(taint, max_size=3)), min_size=1, max_size=5), specs())
def test_all_three_judge_alike(drawn: list[tuple[Wire, list[Wire]]], spec: Wire) -> None:
    nodes = [node(f"n{i}", *each) for i, each in enumerate(drawn)]
    for each in judged(nodes, spec):
        assert len(set(each)) == 1, each


def affinity(operator: str, *values: str, key: str = "gen") -> Wire:
    """A pod whose affinity is one requirement."""
    line = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
    return {
        "containers": [],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [line]}]}
            }
        },
    }


def tolerating(**fields: str) -> Wire:
    """A pod with one toleration."""
    return {"containers": [], "tolerations": [fields]}


@pytest.mark.parametrize(
    ("its_labels", "spec", "fits"),
    [
        pytest.param({"gen": "7"}, affinity("In", "7", "8"), True, id="one of several"),
        pytest.param({}, affinity("In", ""), False, id="a label that is missing is not the empty value"),
        pytest.param({"gen": ""}, affinity("In", ""), True, id="the empty value is a value"),
        pytest.param({"gen": ""}, affinity("Exists"), True, id="a label with the empty value exists"),
        pytest.param({}, affinity("NotIn", "7"), True, id="what is missing is not in"),
        pytest.param({}, affinity("DoesNotExist"), True, id="missing"),
        pytest.param({}, affinity("Lt", "7"), False, id="what is missing is not less"),
        pytest.param({"gen": "8"}, affinity("Gt", "7"), True, id="greater"),
        pytest.param({"gen": "10"}, affinity("Gt", "7"), True, id="as numbers, not as texts"),
        pytest.param({"gen": "7"}, affinity("Gt", "7"), False, id="not greater than itself"),
        pytest.param({"gen": "007"}, affinity("Lt", "8"), True, id="leading zeros are read"),
        pytest.param({"gen": "1_0"}, affinity("Gt", "7"), False, id="underscores are not"),
        pytest.param({"gen": "7.5"}, affinity("Gt", "7"), False, id="fractions are not"),
        pytest.param({"gen": "9223372036854775808"}, affinity("Gt", "7"), False, id="more than 64 bits are not"),
        pytest.param({"gen": "8"}, affinity("Gt", "seven"), False, id="a bound that is no number"),
    ],
)
def test_labels_as_kubernetes_reads_them(its_labels: Wire, spec: Wire, fits: bool) -> None:
    assert judged([node("n0", its_labels, [])], spec) == [(fits,) * 4]


@pytest.mark.parametrize(
    ("value", "spec", "fits"),
    [
        pytest.param("x", tolerating(operator="Exists"), True, id="no key and Exists tolerates all"),
        pytest.param("x", tolerating(operator="Exists", effect="NoExecute"), False, id="but only its effect"),
        pytest.param("x", tolerating(key="gpu"), False, id="Equal to the empty value"),
        pytest.param("", tolerating(key="gpu"), True, id="no operator is Equal, no value the empty one"),
        pytest.param("x", tolerating(key="gpu", operator="Exists"), True, id="the key with any value"),
        pytest.param("7", tolerating(key="gpu", operator="Lt", value="8"), True, id="less"),
        pytest.param("8", tolerating(key="gpu", operator="Lt", value="8"), False, id="not less"),
        pytest.param("9", tolerating(key="gpu", operator="Gt", value="8"), True, id="greater"),
        pytest.param("-1", tolerating(key="gpu", operator="Lt", value="0"), True, id="below zero"),
        pytest.param(
            "007", tolerating(key="gpu", operator="Lt", value="8"), False, id="leading zeros are refused here"
        ),
        pytest.param("many", tolerating(key="gpu", operator="Gt", value="8"), False, id="no number"),
    ],
)
def test_taints_as_kubernetes_reads_them(value: str, spec: Wire, fits: bool) -> None:
    taints = [{"key": "gpu", "value": value, "effect": "NoSchedule"}]
    assert judged([node("n0", {}, taints)], spec) == [(fits,) * 4]


def test_an_empty_term_is_none_and_one_of_several_is_enough() -> None:
    spec = affinity("In", "7")
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    nodes = [node("n0", {"gen": "7"}, []), node("n1", {}, [])]
    assert judged(nodes, spec) == [(True,) * 4, (False,) * 4]
    required["nodeSelectorTerms"].append({})
    assert judged(nodes, spec) == [(True,) * 4, (False,) * 4]
    required["nodeSelectorTerms"].append(
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    )
    assert judged(nodes, spec) == [(True,) * 4, (True,) * 4]
