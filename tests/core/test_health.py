"""Health rules: what matches, since when, and which rules a preset brings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, node, taint, topology

from muster.core.health import Rulebook
from muster.core.health_presets import COMMON, preset_rules
from muster.core.inventory import CAUSES, HELD, Inventory
from muster.core.model import HealthAction, HealthRule, Taint, TopologySpec

AVOID, DRAIN = HealthAction.AVOID, HealthAction.DRAIN
GONE = HealthRule("condition", "GPUMissing", "True", DRAIN, 5_000)
READY = HealthRule("condition", "AcceleratedHardwareReady", "False", AVOID)
STATE = HealthRule("label", "example.com/state", "broken", DRAIN)
ANY = HealthRule("label", "example.com/other", None, AVOID)
DOOMED = HealthRule("taint", "example.com/doomed", None, DRAIN)
SOON = HealthRule("taint", "example.com/when", "soon", AVOID)
BOOK = Rulebook((GONE, READY, STATE, ANY, DOOMED, SOON))


@pytest.mark.parametrize(
    ("shown", "rule", "since"),
    [
        pytest.param({"conditions": (("GPUMissing", "True", 7),)}, GONE, 7, id="condition"),
        pytest.param({"conditions": (("GPUMissing", "False", 7),)}, None, None, id="condition with its good status"),
        pytest.param({"conditions": (("GPUMissing", "Unknown", 7),)}, None, None, id="condition that is not known"),
        pytest.param({"conditions": (("Other", "True", 7),)}, None, None, id="condition of no rule"),
        pytest.param({"conditions": (("AcceleratedHardwareReady", "False", 7),)}, READY, 7, id="False is bad"),
        pytest.param({"conditions": (("AcceleratedHardwareReady", "True", 7),)}, None, None, id="True is good"),
        pytest.param({"labels": {"example.com/state": "broken"}}, STATE, None, id="label"),
        pytest.param({"labels": {"example.com/state": "fine"}}, None, None, id="label with another value"),
        pytest.param({"labels": {"example.com/other": ""}}, ANY, None, id="label with any value"),
        pytest.param({"taints": (taint("example.com/doomed", "PreferNoSchedule"),)}, DOOMED, None, id="any taint"),
        pytest.param({"taints": (Taint("example.com/when", "soon", "NoSchedule", 9),)}, SOON, 9, id="timed taint"),
        pytest.param({"taints": (Taint("example.com/when", "later", "NoSchedule", 9),)}, None, None, id="other taint"),
    ],
)
def test_what_a_rule_matches(shown: dict[str, object], rule: HealthRule | None, since: int | None) -> None:
    found = list(BOOK.flaws(node("a", **shown)))  # type: ignore[arg-type]
    assert found == ([] if rule is None else [(rule, since)])
    assert BOOK.flaw(node("a", **shown)) == rule  # type: ignore[arg-type]


def test_two_taints_of_one_key_are_both_looked_at() -> None:
    both = (Taint("example.com/when", "later", "NoSchedule"), Taint("example.com/when", "soon", "NoExecute", 3))
    assert list(BOOK.flaws(node("a", taints=both))) == [(SOON, 3)]


def test_a_cured_node_shows_nothing_bad_and_keeps_the_rest() -> None:
    ill = node(
        "a",
        labels={"leaf": "l0", "example.com/state": "broken", "example.com/other": "x"},
        conditions=(("GPUMissing", "True", 1),),
        taints=(taint("example.com/doomed"), taint("nvidia.com/gpu"), taint("node.kubernetes.io/not-ready")),
        cordoned=True,
        unready_since=START,
    )
    cured = BOOK.cured(ill)
    assert cured == replace(node("a", labels={"leaf": "l0"}), taints=(taint("nvidia.com/gpu"),))


def test_written_rules_stand_in_place_of_those_of_the_preset() -> None:
    assert Rulebook.of(TopologySpec("default", "u", 1, 1, "OCI")).rules == preset_rules("OCI")
    assert Rulebook.of(topology(health_rules=())).rules == ()
    assert Rulebook.of(topology(health_rules=(GONE,))).rules == (GONE,)
    assert preset_rules("Crusoe") == COMMON
    auto = preset_rules("Auto")
    assert set(preset_rules("Azure")) | set(preset_rules("AWS")) | set(preset_rules("GKE")) <= set(auto)
    assert len(auto) == len({(rule.kind, rule.key, rule.bad) for rule in auto}), "one sign, two rules"


def test_causes_of_rules_are_named_by_the_topology_and_lifted_on_the_healthy_cluster() -> None:
    inventory = Inventory()
    inventory.put_node(node("a", conditions=(("GPUMissing", "True", 1),)))
    inventory.put_node(node("b", labels={"example.com/state": "broken"}))
    inventory.put_node(node("c", conditions=(("GPUMissing", "True", 1),), cordoned=True))
    inventory.set_topology(topology(health_rules=(READY, GONE, STATE)))
    assert inventory.words[len(CAUSES) :] == (READY.cause, GONE.cause, STATE.cause)
    assert inventory.cause("a") == "condition GPUMissing=True"
    assert inventory.cause("b") == "label example.com/state=broken"
    assert inventory.cause("c") == "cordoned"
    empty = inventory.emptied()
    assert [empty.cause(name) for name in "abc"] == ["", "", ""]
    fork = inventory.fork()
    fork.withhold("d", HELD)
    for each in (inventory, fork):
        each.put_node(node("d"))
    assert (inventory.cause("d"), fork.cause("d")) == ("", CAUSES[HELD])
    inventory.put_node(node("a", conditions=(("GPUMissing", "False", 2),)))
    assert inventory.cause("a") == ""
    inventory.set_topology(topology(health_rules=()))
    assert inventory.cause("b") == ""
