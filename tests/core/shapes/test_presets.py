"""Each cloud's own labels: what Auto finds, which levels and domains there are, and a segmented gang on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.core.shapes.wire import CLIQUE, GPU, Cluster, Wire, node, numbers, role, topology

TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
ARM = {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}


def opaque(*of: object) -> str:
    """An identifier that says nothing, as clouds make them."""
    return hashlib.sha256(repr(of).encode()).hexdigest()[:12]


def product(name: str, count: int) -> dict[str, str]:
    """What GPU feature discovery writes."""
    return {
        "nvidia.com/gpu.product": name,
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.memory": "284208",
    }


GB300 = product("NVIDIA-GB300", 4)
H100 = product("NVIDIA-H100-80GB-HBM3", 8)


def place(region: str, zone: str) -> dict[str, str]:
    """What every cloud provider writes."""
    return {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone}


def clique(rack: int) -> dict[str, str]:
    """A ClusterUUID of its own and a clique number."""
    uuid = opaque("clique", rack)
    return {CLIQUE: f"{uuid[:8]}-{uuid[8:12]}-4a5b-8c1d-{uuid}.{32766 - rack}"}


@dataclass(frozen=True)
class Cloud:
    """How one cloud labels rack r, node n of it; racks of 6 nodes, 2 a leaf, 4 a spine."""

    preset: str
    labels: Callable[[int, int], dict[str, str]]
    levels: str
    """The levels that its preset finds, broadest first."""
    domains: dict[str, int]
    """Domains by level on 8 racks."""
    auto: str = ""
    """What Auto finds, where that is another name."""
    gpus: int = 4
    arch: str = "arm64"
    deepest: str = "nvlink"


def _on_premises(r: int, n: int) -> dict[str, str]:
    tiers = {"fabric.topograph.run/tier-1": f"spine-{r // 4}", "fabric.topograph.run/tier-0": f"leaf-{r // 2}"}
    return GB300 | tiers | clique(r)


def _azure(r: int, n: int) -> dict[str, str]:
    return GB300 | place("westus3", "westus3-2") | clique(r) | {"kubernetes.azure.com/agentpool": "gb300"}


def _azure_topograph(r: int, n: int) -> dict[str, str]:
    old = "network.topology.nvidia.com/"
    return _azure(r, n) | {old + "spine": f"sw-{r // 4}", old + "leaf": f"sw-{r // 4}-{r // 2}"}


def _gke(r: int, n: int) -> dict[str, str]:
    key = "cloud.google.com/gce-topology-"
    own = {key + "block": opaque("b", r // 4), key + "subblock": opaque("s", r // 2), key + "host": opaque("h", r, n)}
    return place("us-east5", "us-east5-a") | own | {"cloud.google.com/gke-accelerator": "nvidia-gb300"}


def _gke_nvlink(r: int, n: int) -> dict[str, str]:
    return GB300 | _gke(r, n) | clique(r)


def _gke_hopper(r: int, n: int) -> dict[str, str]:
    return H100 | _gke(r, n)


def _aws(r: int, n: int) -> dict[str, str]:
    layers = (("1", opaque("one")), ("2", opaque("l2", r // 4)), ("3", opaque("l3", r // 2)))
    own = {f"topology.k8s.aws/network-node-layer-{i}": f"nn-{value}" for i, value in layers}
    return place("us-east-1", "us-east-1b") | own | {"topology.k8s.aws/zone-id": "use1-az4"}


def _aws_ultra(r: int, n: int) -> dict[str, str]:
    return GB300 | _aws(r, n) | {"topology.k8s.aws/ultraserver-id": f"us-{opaque('u', r)}"} | clique(r)


def _aws_hopper(r: int, n: int) -> dict[str, str]:
    return H100 | _aws(r, n)


def _oci(r: int, n: int) -> dict[str, str]:
    key = "oci.oraclecloud.com/"
    own = {
        key + "rdma.hpc_island_id": opaque("island"),
        key + "rdma.network_block_id": opaque("block", r // 4),
        key + "rdma.local_block_id": opaque("local", r // 2),
        key + "rdma.host_id": opaque("host", r, n),
        key + "host.gpu_memory_fabric_id": opaque("fabric", r),
    }
    return GB300 | place("us-abilene-1", "AD-1") | own


def _coreweave(r: int, n: int) -> dict[str, str]:
    fabrics = {f"{side}.coreweave.cloud/fabric": "us-east-04a-f1" for side in ("backend", "ib")}
    own = {
        "backend.coreweave.cloud/leafgroup": f"lg{r // 2}",
        "ib.coreweave.cloud/superpod": f"sp{r // 4}",
        "ib.coreweave.cloud/leafgroup": f"lg{r // 2}",
        "node.coreweave.cloud/rack": f"rack-{r}",
        "ds.coreweave.com/nvlink.domain": f"nvl-{r}",
    }
    return GB300 | place("us-east-04", "us-east-04a") | fabrics | own


def _crusoe(r: int, n: int) -> dict[str, str]:
    own = {"crusoe.ai/ib.partition.id": opaque("part", r // 2), "crusoe.ai/pod.id": opaque("pod", r)}
    return GB300 | place("us-southcentral1", "us-southcentral1-a") | own


def _topograph(r: int, n: int) -> dict[str, str]:
    tier = "fabric.topograph.run/tier-"
    tiers = {tier + "2": "core-0", tier + "1": f"spine-{r // 4}", tier + "0": f"leaf-{r // 2}"}
    return GB300 | tiers | {"accelerator.topograph.run/domain": f"nvl{r}"} | clique(r)


def _topograph_older(r: int, n: int) -> dict[str, str]:
    key = "network.topology.nvidia.com/"
    tiers = {key + "core": "core-0", key + "spine": f"spine-{r // 4}", key + "leaf": f"leaf-{r // 2}"}
    return GB300 | tiers | {key + "accelerator": f"nvl{r}"}


FABRIC = {"spine": 2, "leaf": 4}
PLACE = {"region": 1, "zone": 1}
CLOUDS = {
    "on premises": Cloud("GB300", _on_premises, "spine leaf nvlink", FABRIC | {"nvlink": 8}),
    "Azure": Cloud("Azure", _azure, "region zone nvlink", PLACE | {"nvlink": 8}, auto="GB300"),
    "Azure with Topograph": Cloud(
        "Azure", _azure_topograph, "region zone spine leaf nvlink", PLACE | FABRIC | {"nvlink": 8}, auto="GB300"
    ),
    "GKE": Cloud("GKE", _gke_nvlink, "region zone spine leaf nvlink", PLACE | FABRIC | {"nvlink": 8}),
    "GKE H100": Cloud(
        "GKE", _gke_hopper, "region zone spine leaf", PLACE | FABRIC, gpus=8, arch="amd64", deepest="leaf"
    ),
    "AWS UltraServers": Cloud(
        "AWS", _aws_ultra, "region zone core spine leaf nvlink", PLACE | FABRIC | {"core": 1, "nvlink": 8}
    ),
    "AWS H100": Cloud(
        "AWS",
        _aws_hopper,
        "region zone core spine leaf",
        PLACE | FABRIC | {"core": 1},
        gpus=8,
        arch="amd64",
        deepest="leaf",
    ),
    "OCI": Cloud("OCI", _oci, "region zone core spine leaf nvlink", PLACE | FABRIC | {"core": 1, "nvlink": 8}),
    "CoreWeave": Cloud(
        "CoreWeave", _coreweave, "region zone core spine leaf nvlink", PLACE | FABRIC | {"core": 1, "nvlink": 8}
    ),
    "Crusoe": Cloud("Crusoe", _crusoe, "region zone leaf nvlink", PLACE | {"leaf": 4, "nvlink": 8}),
    "Topograph": Cloud("Topograph", _topograph, "core spine leaf nvlink", FABRIC | {"core": 1, "nvlink": 8}),
    "older Topograph": Cloud(
        "Topograph", _topograph_older, "core spine leaf nvlink", FABRIC | {"core": 1, "nvlink": 8}
    ),
}


def nodes(cloud: Cloud, racks: int = 8) -> Iterator[Wire]:
    """Its GPU nodes, tainted, and two without GPUs that carry other labels than they."""
    for r in range(racks):
        for n in range(6):
            taints = [TAINT, ARM] if cloud.arch == "arm64" else [TAINT]
            yield node(f"r{r}-n{n}", cloud.labels(r, n), gpus=cloud.gpus, taints=taints, arch=cloud.arch)
    elsewhere = place("elsewhere", "elsewhere-1")
    for n in range(2):
        yield node(f"head-{n}", elsewhere | {"network.topology.nvidia.com/leaf": "head"}, gpus=0, arch="amd64")


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
@pytest.mark.parametrize("auto", [False, True], ids=["preset", "Auto"])
def test_a_preset_finds_its_levels_and_domains(cloud: Cloud, auto: bool) -> None:
    here = Cluster(topology("Auto" if auto else cloud.preset), nodes(cloud))
    assert here.levels == cloud.levels
    assert here.preset == ((cloud.auto or cloud.preset) if auto else cloud.preset)
    found = here.survey()
    # The two heads are in a region of their own, where there are regions; the fabric's labels they lack.
    expected = {level: (n + 1, 50, 0) if level in PLACE else (n, 48, 2) for level, n in cloud.domains.items()}
    assert found == expected


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_a_segmented_gang_stays_in_the_fewest_domains(cloud: Cloud) -> None:
    here = Cluster(topology(), nodes(cloud))
    # Pods that take a whole node, in segments of a whole deepest domain of 6 or 12 nodes.
    size = 6 if cloud.deepest == "nvlink" else 12
    found = here.placed(role(24, {GPU: str(cloud.gpus)}, segments=[(cloud.deepest, size)]))
    assert found.proven
    segments = here.domains_of(found, cloud.deepest)
    for first in range(0, 24, size):
        assert len(set(segments[first : first + size])) == 1
    domains = dict(found.domains)
    assert domains[cloud.deepest] == 24 // size
    above = {"core": 1, "spine": 1, "leaf": 2}
    assert {level: n for level, n in domains.items() if level in above} == {
        level: n for level, n in above.items() if level in cloud.domains
    }
    assert dict(found.least) == domains
    assert found.objective.nodes == 24
    assert found.objective.leftover == 0
    assert not {"head-0", "head-1"} & set(found.nodes[0])


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_what_no_domain_holds_is_refused_in_numbers(cloud: Cloud) -> None:
    here = Cluster(topology(), nodes(cloud))
    most = 6 if cloud.deepest == "nvlink" else 12
    over = here.refused(role(most + 1, {GPU: str(cloud.gpus)}, segments=[(cloud.deepest, most + 1)]))
    assert numbers(over, "constraint", "level", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "segments",
        "level": cloud.deepest,
        "largest": most,
    }
    many = here.refused(role(49, {GPU: str(cloud.gpus)}))
    assert (many.number("constraint"), many.number("largest")) == ("capacity", 48)
    assert dict(many.exclusions) == {GPU: 2}


def test_no_gang_spans_two_zones() -> None:
    def zoned(r: int, n: int) -> dict[str, str]:
        return _aws_ultra(r, n) | place("us-east-1", f"us-east-1{'ab'[r // 4]}")

    here = Cluster(topology(), nodes(Cloud("AWS", zoned, "", {})))
    assert here.survey()["zone"][0] == 3
    assert len(set(here.domains_of(here.placed(role(24)), "zone"))) == 1
    over = here.refused(role(25))
    assert numbers(over, "constraint", "level", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "boundary",
        "level": "zone",
        "largest": 24,
    }


def test_a_placeholder_names_no_nvlink_domain() -> None:
    fabric = "oci.oraclecloud.com/host.gpu_memory_fabric_id"

    def broken(r: int, n: int) -> dict[str, str]:
        return _oci(r, n) | ({fabric: "no-imds-data"} if n == 5 or r == 7 else {})

    here = Cluster(topology(), nodes(Cloud("OCI", broken, "", {})))
    assert here.survey()["nvlink"] == (7, 35, 15)
    assert len(here.placed(role(35, segments=[("nvlink", 5)])).nodes[0]) == 35
    over = here.refused(role(40, segments=[("nvlink", 5)]))
    assert numbers(over, "largest") == {"reason": "Unsatisfiable", "largest": 35}
    assert dict(over.exclusions) == {"unlabelled nvlink": 15}
    # Without segments the nodes are as good as others.
    assert here.placed(role(48)).objective.nodes == 48
