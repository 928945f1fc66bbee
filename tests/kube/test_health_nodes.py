"""Each preset's health rules on nodes as the API server shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kube import objects

from muster.core.inventory import Inventory
from muster.core.model import HealthAction, TopologySpec
from muster.kube import parse
from muster.kube.parse_topology import topology_from

SINCE = "2026-03-01T12:34:56Z"
SINCE_MS = 1_772_368_496_000
DRAIN, AVOID = HealthAction.DRAIN, HealthAction.AVOID


def condition(type_: str, status: str = "True") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "lastTransitionTime": SINCE,
        "lastHeartbeatTime": objects.TIME,
        "reason": "Found",
        "message": "as found by the detector",
    }


PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
DETECTORS = ("KernelDeadlock", "ReadonlyFilesystem", "FrequentKubeletRestart", "FrequentContainerdRestart")


def shown(*conditions: dict[str, Any], labels: dict[str, str] | None = None, taints: Any = ()) -> bytes:
    """A healthy node with the conditions of the kubelet and of Node Problem Detector, and these besides."""
    obj = objects.node()
    del obj["spec"]["unschedulable"]
    obj["metadata"]["labels"] |= labels or {}
    obj["spec"]["taints"] = [obj["spec"]["taints"][0], *taints]
    named = {c["type"] for c in conditions}
    well = [condition(type_, "False") for type_ in (*PRESSURES, *DETECTORS) if type_ not in named]
    obj["status"]["conditions"] = [*well, *conditions, condition("Ready")]
    return json.dumps(obj).encode()


def preset(name: str) -> TopologySpec:
    return topology_from({"metadata": {"name": "default", "uid": "u"}, "spec": {"preset": name}})


def taint(key: str, effect: str, **more: str) -> dict[str, str]:
    return {"key": key, "effect": effect, **more}


NVSENTINEL = "dgxc.nvidia.com/nvsentinel-state"
HYPERPOD = "sagemaker.amazonaws.com/node-health-status"
DOOMED = "cloud.google.com/impending-node-termination"
BAD = [
    *[("GB300", shown(condition(c)), f"condition {c}=True", AVOID) for c in ("KernelDeadlock", "ReadonlyFilesystem")],
    *[
        ("GB300", shown(condition(c)), f"condition {c}=True", AVOID)
        for c in ("GpuNvlinkWatch", "GpuMemWatch", "SysLogsXIDError")
    ],
    ("Topograph", shown(labels={NVSENTINEL: "quarantined"}), f"label {NVSENTINEL}", AVOID),
    ("Crusoe", shown(labels={NVSENTINEL: "draining"}), f"label {NVSENTINEL}=draining", DRAIN),
    ("Azure", shown(condition("GPUMissing")), "condition GPUMissing=True", DRAIN),
    ("Azure", shown(condition("NVLinkStatusInactive")), "condition NVLinkStatusInactive=True", DRAIN),
    ("Azure", shown(condition("XIDErrors")), "condition XIDErrors=True", AVOID),
    ("Azure", shown(condition("IBLinkFlapping")), "condition IBLinkFlapping=True", AVOID),
    ("AWS", shown(condition("AcceleratedHardwareReady", "False")), "condition AcceleratedHardwareReady=False", DRAIN),
    *[
        ("AWS", shown(labels={HYPERPOD: value}), f"label {HYPERPOD}={value}", action)
        for value, action in (
            ("Unschedulable", AVOID),
            ("UnschedulablePendingReplacement", DRAIN),
            ("UnschedulablePendingReboot", DRAIN),
        )
    ],
    ("GKE", shown(taints=[taint(DOOMED, "NoSchedule")]), f"taint {DOOMED}", DRAIN),
    (
        "GKE",
        shown(labels={"cloud.google.com/active-node-maintenance": "ONGOING"}),
        "label cloud.google.com/active-node-maintenance=ONGOING",
        DRAIN,
    ),
    *[("OCI", shown(condition(c)), f"condition {c}=True", DRAIN) for c in ("GpuCount", "GpuBus", "RdmaLink")],
    *[
        ("OCI", shown(condition(c)), f"condition {c}=True", AVOID)
        for c in ("GpuXid", "GpuEcc", "GpuRowRemap", "RdmaLinkFlapping")
    ],
    (
        "CoreWeave",
        shown(labels={"node.coreweave.cloud/state": "triage"}),
        "label node.coreweave.cloud/state=triage",
        AVOID,
    ),
]


@pytest.mark.parametrize(
    ("name", "raw", "cause", "action"), [pytest.param(*row, id=f"{row[0]}, {row[2]}") for row in BAD]
)
def test_what_each_preset_calls_bad(name: str, raw: bytes, cause: str, action: HealthAction) -> None:
    node = parse.node(raw)
    for spec in (preset(name), preset("Auto"), preset("Custom")):
        inventory = Inventory()
        inventory.put_node(node)
        inventory.set_topology(spec)
        assert inventory.cause(node.name) == cause
        rule = inventory.rulebook.flaw(node)
        assert rule is not None
        assert rule.action is action


GOOD = [
    ("GB300", shown()),
    ("Azure", shown(*(condition(c, "False") for c in ("GPUMissing", "XIDErrors", "IBLinkFlapping")))),
    ("AWS", shown(condition("AcceleratedHardwareReady"), labels={HYPERPOD: "Schedulable"})),
    ("AWS", shown(condition("AcceleratedHardwareReady", "Unknown"))),
    ("GKE", shown(labels={"cloud.google.com/scheduled-maintenance-time": "1772368496"})),
    ("OCI", shown(*(condition(c, "False") for c in ("GpuXid", "RdmaLink", "GpuCount")))),
    ("CoreWeave", shown(labels={"node.coreweave.cloud/state": "production"})),
    ("OCI", shown(condition("XIDErrors"))),  # another cloud's sign
]


@pytest.mark.parametrize(("name", "raw"), GOOD)
def test_what_no_preset_minds(name: str, raw: bytes) -> None:
    inventory = Inventory()
    inventory.put_node(parse.node(raw))
    inventory.set_topology(preset(name))
    assert inventory.cause("r0-n00") == ""


def test_what_is_kept_of_conditions() -> None:
    node = parse.node(shown(condition("MemoryPressure"), condition("GPUMissing")))
    kept = {type_: (status, since) for type_, status, since in node.conditions}
    assert kept == {
        **dict.fromkeys(DETECTORS, ("False", SINCE_MS)),
        "MemoryPressure": ("True", SINCE_MS),
        "GPUMissing": ("True", SINCE_MS),
    }
    again = parse.node(shown(condition("GPUMissing")))
    assert {id(c[0]) for c in node.conditions} >= {id(c[0]) for c in again.conditions}, "names are shared"


def test_taints_say_since_when() -> None:
    node = parse.node(shown(taints=[taint("x", "NoExecute", timeAdded=SINCE), taint("y", "NoSchedule", timeAdded="?")]))
    assert [(t.key, t.since) for t in node.taints] == [("nvidia.com/gpu", None), ("x", SINCE_MS), ("y", None)]
    assert node.taints[1] == parse.node(shown(taints=[taint("x", "NoExecute")])).taints[1]


@pytest.mark.parametrize(
    ("written", "cleared"),
    [(SINCE, SINCE_MS), ("2026-03-01T13:34:56+01:00", SINCE_MS), ("yesterday", None), ("", None), (None, None)],
)
def test_the_annotation_that_clears_blame(written: str | None, cleared: int | None) -> None:
    obj = objects.node()
    obj["metadata"]["annotations"] = {
        "other": "x",
        **({"muster.dev/clear-blame": written} if written is not None else {}),
    }
    assert parse.node(json.dumps(obj).encode()).cleared == cleared
    del obj["metadata"]["annotations"]
    assert parse.node(json.dumps(obj).encode()).cleared is None
