"""Which nodes a pod may use, as kube-scheduler judges selectors, taints and the node's own state."""

from __future__ import annotations

import pytest
from tests.support.builders import START, node

from muster.core.eligibility import describe, matches, selected, term_matches, tolerates, unfit, unusable
from muster.core.model import Filter, Node, Requirement, Taint, Toleration

GPU = Taint("gpu", "present", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "taint", "expected"),
    [
        pytest.param(Toleration("gpu", "Equal", "present", "NoSchedule"), GPU, True, id="equal"),
        pytest.param(Toleration("gpu", "", "present", ""), GPU, True, id="no operator is Equal"),
        pytest.param(Toleration("gpu", "Equal", "absent", ""), GPU, False, id="other value"),
        pytest.param(Toleration("gpu", "Exists", "", ""), GPU, True, id="exists"),
        pytest.param(Toleration("gpu", "Exists", "", "NoExecute"), GPU, False, id="other effect"),
        pytest.param(Toleration("cpu", "Exists", "", ""), GPU, False, id="other key"),
        pytest.param(Toleration("", "Exists", "", ""), GPU, True, id="everything"),
        pytest.param(Toleration("", "Equal", "present", ""), GPU, False, id="no key needs Exists"),
        pytest.param(Toleration("n", "Gt", "5", ""), Taint("n", "7", "NoSchedule"), True, id="greater"),
        pytest.param(Toleration("n", "Gt", "5", ""), Taint("n", "5", "NoSchedule"), False, id="not greater"),
        pytest.param(Toleration("n", "Lt", "5", ""), Taint("n", "4", "NoSchedule"), True, id="less"),
        pytest.param(Toleration("n", "Lt", "5", ""), Taint("n", "many", "NoSchedule"), False, id="no number"),
        pytest.param(Toleration("gpu", "Roughly", "present", ""), GPU, False, id="unknown operator"),
    ],
)
def test_a_toleration_covers_a_taint(toleration: Toleration, taint: Taint, expected: bool) -> None:
    assert tolerates(toleration, taint) is expected


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ("a", "b"), True),
        ("In", ("b",), False),
        ("NotIn", ("b",), True),
        ("NotIn", ("a",), False),
        ("Exists", (), True),
        ("DoesNotExist", (), False),
        ("Near", ("a",), False),
    ],
)
def test_a_requirement_on_a_label(operator: str, values: tuple[str, ...], expected: bool) -> None:
    assert matches(Requirement("x", operator, values), {"x": "a"}, "n") is expected


@pytest.mark.parametrize(
    ("operator", "expected"), [("In", False), ("NotIn", True), ("Exists", False), ("DoesNotExist", True), ("Gt", False)]
)
def test_a_requirement_on_a_label_that_is_not_there(operator: str, expected: bool) -> None:
    assert matches(Requirement("x", operator, ("1",)), {}, "n") is expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [("Gt", "8", True), ("Gt", "7", False), ("Lt", "6", True), ("Lt", "7", False), ("Lt", "x", False)],
)
def test_labels_compare_as_numbers(operator: str, value: str, expected: bool) -> None:
    assert matches(Requirement("gen", operator, ("7",)), {"gen": value}, "n") is expected


def test_the_name_of_the_node_is_a_label_of_its_own() -> None:
    assert matches(Requirement("metadata.name", "In", ("n",)), {}, "n")
    assert not matches(Requirement("metadata.name", "In", ("m",)), {"metadata.name": "m"}, "n")


def test_all_of_a_term_one_of_a_group_every_group_and_an_empty_term_is_none() -> None:
    a, b = Requirement("a", "Exists", ()), Requirement("b", "Exists", ())
    here = node("n", labels={"k/a": "1"})
    here_labels = {"a": "1"}
    assert not term_matches((), here_labels, "n")
    assert term_matches((a,), here_labels, "n")
    assert not term_matches((a, b), here_labels, "n")
    has = Requirement("k/a", "Exists", ())
    lacks = Requirement("k/b", "Exists", ())
    assert selected(here, Filter(affinity=(((lacks,), (has,)),)))
    assert not selected(here, Filter(affinity=(((has,),), ((lacks,),))))
    assert not selected(here, Filter(affinity=((),)))
    assert selected(here, Filter(selector=(("k/a", "1"),)))
    assert not selected(here, Filter(selector=(("k/a", "2"),)))


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (None, "deleted"),
        (node("n"), None),
        (node("n", cordoned=True), "cordoned"),
        (node("n", unready_since=START), "NotReady"),
        (node("n", out_of_service=True, cordoned=True), "out of service"),
    ],
    ids=["deleted", "well", "cordoned", "unready", "out of service"],
)
def test_a_node_is_not_usable_by_its_own_state(given: Node | None, cause: str | None) -> None:
    assert unusable(given) == cause
    assert unfit(given, Filter()) == cause


def test_taints_exclude_unless_soft_tolerated_or_only_the_nodes_own_state_again() -> None:
    assert unfit(node("n", taints=(GPU,)), Filter()) == "taint gpu=present:NoSchedule"
    assert unfit(node("n", taints=(Taint("gpu", "", "PreferNoSchedule"),)), Filter()) is None
    assert unfit(node("n", taints=(GPU,)), Filter(tolerations=(Toleration("gpu", "Exists", "", ""),))) is None
    assert unfit(node("n", taints=(Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),)), Filter()) is None
    assert unfit(node("n", taints=(Taint("x", "", "NoExecute"),)), Filter()) == "taint x:NoExecute"
    assert describe(Taint("x", "", "NoExecute")) == "x:NoExecute"


def test_a_node_that_is_not_selected_says_so() -> None:
    assert unfit(node("n"), Filter(selector=(("a", "b"),))) == "does not match the node selector or affinity"
