"""GB300, H100 and MI300X nodes in one cluster: each gang finds its own, and causes are counted for the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.core.shapes.wire import CLIQUE, GPU, Cluster, Wire, level, node, numbers, pod, role, topology

PRODUCT = "nvidia.com/gpu.product"
AMD = "amd.com/gpu"
TIER = "fabric.topograph.run/tier-"
GB300: Wire = {"nodeSelector": {PRODUCT: "NVIDIA-GB300"}}
HOPPER: Wire = {"nodeSelector": {PRODUCT: "NVIDIA-H100-80GB-HBM3"}}
TAINTED = {"key": GPU, "value": "present", "effect": "NoSchedule"}
ARM = {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}
AMD_TAINT = {"key": AMD, "value": "present", "effect": "NoSchedule"}


def nodes() -> Iterator[Wire]:
    """Two racks of 6 GB300 trays, 8 nodes of 8 H100, 4 of 8 MI300X, 3 without accelerators; all on one fabric."""
    for r in range(2):
        for n in range(6):
            labels = {PRODUCT: "NVIDIA-GB300", CLIQUE: f"c{r}.{r}", TIER + "1": "s0", TIER + "0": "gb"}
            yield node(f"gb{r}-{n}", labels, taints=[TAINTED, ARM])
    for n in range(8):
        labels = {PRODUCT: "NVIDIA-H100-80GB-HBM3", TIER + "1": "s0", TIER + "0": f"h{n // 4}"}
        yield node(f"h-{n}", labels, gpus=8, taints=[TAINTED], arch="amd64")
    for n in range(4):
        labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X", TIER + "1": "s1", TIER + "0": "mi"}
        yield node(f"mi-{n}", labels, gpus=0, amounts={AMD: "8"}, taints=[AMD_TAINT], arch="amd64")
    for n in range(3):
        yield node(f"cpu-{n}", {}, gpus=0, arch="amd64")


@pytest.fixture
def mixed() -> Cluster:
    """The cluster, empty, with what Auto makes of it."""
    return Cluster(topology(), nodes())


def test_all_accelerator_nodes_have_a_say_in_the_levels(mixed: Cluster) -> None:
    assert (mixed.preset, mixed.levels) == ("GB300", "spine leaf nvlink")
    assert mixed.survey() == {"spine": (2, 24, 3), "leaf": (4, 24, 3), "nvlink": (2, 12, 15)}


def test_each_product_by_its_label_and_by_its_resource(mixed: Cluster) -> None:
    tray = mixed.placed(role(12, segments=[("nvlink", 6)], **GB300))
    assert {name[:2] for name in tray.nodes[0]} == {"gb"}
    # The pods fill the nodes: two of 4 GPUs on an H100 node, four nodes a leaf.
    half = mixed.placed(role(8, **HOPPER))
    assert (len(set(half.nodes[0])), dict(half.domains)["leaf"]) == (4, 1)
    assert mixed.placed(role(8, {GPU: "8"})).nodes[0] == tuple(f"h-{n}" for n in range(8))
    amd = mixed.placed(role(4, {AMD: "8"}, tolerations=[{"key": AMD, "operator": "Exists"}]))
    assert {name[:2] for name in amd.nodes[0]} == {"mi"}


def test_causes_against_a_gang_of_one_product(mixed: Cluster) -> None:
    over = mixed.refused(role(13, **GB300))
    assert (over.number("constraint"), over.number("largest")) == ("capacity", 12)
    # The defaults tolerate what GB300 nodes are tainted with. A node counts once: selector before taint before room.
    assert dict(over.exclusions) == {"selector": 15}
    whole = mixed.refused(role(9, {GPU: "8"}))
    assert dict(whole.exclusions) == {GPU: 15, "taint amd.com/gpu=present:NoSchedule": 4}
    stranger = mixed.refused(role(4, {AMD: "8"}))
    assert numbers(stranger, "constraint", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "nodes",
        "largest": 0,
    }
    assert dict(stranger.exclusions) == {AMD: 23, "taint amd.com/gpu=present:NoSchedule": 4}


def test_a_job_without_accelerators_gets_no_defaults_and_keeps_off_tainted_nodes(mixed: Cluster) -> None:
    found = mixed.placed(role(3, {"cpu": "100"}))
    assert found.nodes[0] == ("cpu-0", "cpu-1", "cpu-2")
    over = mixed.refused(role(4, {"cpu": "100"}))
    assert over.number("largest") == 3
    assert dict(over.exclusions) == {
        "taint nvidia.com/gpu=present:NoSchedule": 20,
        "taint amd.com/gpu=present:NoSchedule": 4,
    }


def test_without_a_selector_the_products_mix_where_that_is_cheaper(mixed: Cluster) -> None:
    """A pod of 4 GPUs fits both: 12 of them are cheapest on 6 H100 nodes only if that touches fewer domains."""
    found = mixed.placed(role(12))
    # spine 2 + leaf 2 + two racks, against 2 leaves and 6 nodes that are each an NVLink domain of their own.
    assert {name[:2] for name in found.nodes[0]} == {"gb"}
    assert found.objective.cost == 2 + 2 + 2
    mixed.put(pod("taken", "gb0-0", {GPU: "4"}))
    again = mixed.placed(role(12))
    assert again.objective.cost == 2 + 4 + 3
    assert dict(again.domains) == {"spine": 1, "leaf": 2, "nvlink": 3}


def test_products_apart_by_affinity() -> None:
    """`gpu.memory` Gt and product In with an or between: as node affinity says it."""
    terms = [
        {"matchExpressions": [{"key": PRODUCT, "operator": "In", "values": ["NVIDIA-GB300"]}]},
        {"matchExpressions": [{"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["80000"]}]},
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    made = list(nodes())
    for each in made[12:16]:
        each["metadata"]["labels"]["nvidia.com/gpu.memory"] = "81559"
    for each in made[16:20]:
        each["metadata"]["labels"]["nvidia.com/gpu.memory"] = "80GB"
    here = Cluster(topology("Custom", level("leaf", TIER + "0")), made)
    over = here.refused(role(21, affinity={"nodeAffinity": required}))
    assert numbers(over, "largest") == {"reason": "Unsatisfiable", "largest": 12 + 8}
    assert dict(over.exclusions)["affinity"] == 4 + 4 + 3
