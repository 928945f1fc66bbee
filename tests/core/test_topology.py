"""Levels from labels."""

from __future__ import annotations

import pytest
from tests.support.cluster import node

from muster.core.model import Level, TopologySpec
from muster.core.topology import natural, resolve, survey

PLACE = {"topology.kubernetes.io/region": "eu-1", "topology.kubernetes.io/zone": "eu-1a"}
CLIQUE = {"nvidia.com/gpu.clique": "c0.1"}
TIERS = {"fabric.topograph.run/tier-1": "s0", "fabric.topograph.run/tier-0": "l0"}
OLD = {"network.topology.nvidia.com/spine": "s0", "network.topology.nvidia.com/leaf": "l0"}
GKE = {"cloud.google.com/gce-topology-block": "b", "cloud.google.com/gce-topology-subblock": "sb"}
AWS = {f"topology.k8s.aws/network-node-layer-{i}": f"nn-{i}" for i in (1, 2, 3)}
OCI = {
    f"oci.oraclecloud.com/{k}": "x"
    for k in ("rdma.hpc_island_id", "rdma.network_block_id", "rdma.local_block_id", "host.gpu_memory_fabric_id")
}
CORE_WEAVE = {f"ib.coreweave.cloud/{k}": "x" for k in ("fabric", "superpod", "leafgroup")}


def spec(preset: str, *levels: Level) -> TopologySpec:
    return TopologySpec("default", "u", 1, 1, preset, levels)


@pytest.mark.parametrize(
    ("preset", "labels", "want"),
    [
        pytest.param("GB300", {**TIERS, **CLIQUE}, "spine leaf nvlink", id="gb300"),
        pytest.param("Azure", CLIQUE, "nvlink", id="azure-has-no-fabric-labels"),
        pytest.param("GB300", {**OLD, **CLIQUE}, "spine leaf nvlink", id="older-labels"),
        pytest.param("GKE", {**GKE, **CLIQUE}, "spine leaf nvlink", id="gke"),
        pytest.param("AWS", {**AWS, "topology.k8s.aws/ultraserver-id": "u"}, "core spine leaf nvlink", id="aws"),
        pytest.param("OCI", OCI, "core spine leaf nvlink", id="oci"),
        pytest.param(
            "CoreWeave", {**CORE_WEAVE, "ds.coreweave.com/nvlink.domain": "d"}, "core spine leaf nvlink", id="coreweave"
        ),
        pytest.param("Crusoe", {"crusoe.ai/ib.partition.id": "p", **CLIQUE}, "leaf nvlink", id="crusoe"),
        pytest.param(
            "Topograph",
            {**TIERS, "fabric.topograph.run/tier-2": "c", "accelerator.topograph.run/domain": "d"},
            "core spine leaf nvlink",
            id="topograph",
        ),
    ],
)
def test_a_preset_and_auto_find_the_levels_that_nodes_carry(preset: str, labels: dict[str, str], want: str) -> None:
    nodes = [node("gpu", 4, {**PLACE, **labels}), node("head", 0, {"topology.kubernetes.io/zone": "z"})]
    levels = resolve(spec(preset), nodes)
    assert levels.invalid == ""
    assert levels.names == ("region", "zone", *want.split())
    assert [level.boundary for level in levels.levels][:2] == [True, True]
    assert [level.weight for level in levels.levels] == [2] * (len(levels.levels) - 1) + [1]
    found = resolve(spec("Auto"), nodes)
    assert found.levels == levels.levels
    assert found.preset == ("GB300" if preset == "Azure" else preset)


def test_only_labels_of_accelerator_nodes_count() -> None:
    nodes = [node("gpu", 4, CLIQUE), node("head", 0, TIERS)]
    assert resolve(spec("Auto"), nodes).names == ("nvlink",)
    assert resolve(spec("Auto"), nodes[1:]).names == ("spine", "leaf")


def test_a_placeholder_names_no_domain() -> None:
    fabric = "oci.oraclecloud.com/host.gpu_memory_fabric_id"
    nodes = [node("a", 4, {**OCI, fabric: "no-imds-data"}), node("b", 4, OCI)]
    levels = resolve(spec("OCI"), nodes)
    assert levels.path(nodes[0].labels) == ("x", "x", "x", None)
    assert survey(levels, nodes)[-1] == ("nvlink", 1, 1, 1)
    assert resolve(spec("OCI"), nodes[:1]).names == ("core", "spine", "leaf")


def test_a_missing_label_takes_every_narrower_one_away() -> None:
    levels = resolve(spec("Custom", Level("leaf", ("leaf",)), Level("rack", ("rack",))), [])
    assert levels.path({"rack": "r1"}) == (None, None)
    assert levels.path({"leaf": "l1", "rack": "r1"}) == ("l1", "r1")


@pytest.mark.parametrize(
    ("levels", "field"),
    [
        ((Level("a", ("x",)), Level("a", ("y",))), "spec.levels[1].name"),
        ((Level("a", ("x",)), Level("b", ("x",))), "spec.levels[1].nodeLabel"),
        ((Level("node", ()), Level("b", ("x",))), "spec.levels[0].name"),
        ((Level("a", ("x",)), Level("node", ("y",))), "spec.levels[1]"),
        ((Level("a", ()),), "spec.levels[0].nodeLabel"),
        ((Level("a", ("x",), weight=-1),), "spec.levels[0].weight"),
    ],
)
def test_what_cannot_be_used_is_named(levels: tuple[Level, ...], field: str) -> None:
    assert resolve(spec("Custom", *levels), []).invalid.startswith(field + ": ")


def test_weights_can_be_set_for_levels_and_nodes() -> None:
    levels = resolve(spec("Custom", Level("a", ("x",), weight=7), Level("b", ("y",)), Level("node", (), weight=3)), [])
    assert [level.weight for level in levels.levels] == [7, 1]
    assert levels.node_weight == 3
    assert levels.depth("node") == 3


def test_natural_order_compares_runs_of_digits_as_numbers() -> None:
    assert sorted(["r10", "r2", "r02", "a1b10", "a1b9", "r"], key=natural) == ["a1b9", "a1b10", "r", "r02", "r2", "r10"]
