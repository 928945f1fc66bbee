"""The environment that containers get: MUSTER_* always, and what the job's launcher reads (the tables of api.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from muster.core.model import RoleSpec, Segments
from muster.kube.quantity import Malformed, amount_of

PORT = 29500
HOST_PORTS = range(20_000, 30_000)
"""Where the ports of pods on the host's network lie: two gangs on one node hardly ever share one."""
DEFAULT_GRACE = 30
"""terminationGracePeriodSeconds, where the template has none (Kubernetes' default)."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One rank of one role in one attempt: all that its environment is made of."""

    job: str
    uid: str
    namespace: str
    role: RoleSpec
    roles: tuple[RoleSpec, ...]
    rank: int
    attempt: int
    """The attempt in which the whole gang was last made anew."""
    domains: Mapping[str, str]

    @property
    def uid8(self) -> str:
        """The part of the uid that names carry."""
        return self.uid[:8]

    @property
    def service(self) -> str:
        """Name of the job's headless Service."""
        return service_name(self.job, self.uid)

    @property
    def segment(self) -> tuple[int, int]:
        """Index of the rank's innermost segment, and the rank within it."""
        return segment_of(self.role.segments, self.rank)

    def hostname(self, role: RoleSpec | None = None, rank: int | None = None) -> str:
        """The hostname of this rank, or of another."""
        role = role or self.role
        rank = self.rank if rank is None else rank
        return f"{self.job}-{role.name}-{padded(rank, role.count)}-{self.uid8}-{self.attempt}"

    def address(self, role: RoleSpec | None = None, rank: int | None = None) -> str:
        """The DNS name of this rank, or of another; it resolves before the pod is ready."""
        return f"{self.hostname(role, rank)}.{self.service}.{self.namespace}.svc"


def service_name(job: str, uid: str) -> str:
    """Name of a job's headless Service."""
    return f"{job}-{uid[:8]}"


def padded(rank: int, count: int) -> str:
    """The rank at the width of the role's last one, so that names sort as ranks do (c10d sorts by name)."""
    return f"{rank:0{len(str(max(count - 1, 0)))}d}"


def segment_of(segments: Sequence[Segments], rank: int) -> tuple[int, int]:
    """(segment, rank in it) of the innermost segments; (0, rank) without any.

    Every boundary of an outer entry is one of the inner, so the innermost is the one whose segments begin most often;
    that needs no order of levels.
    """
    if not segments:
        return 0, rank
    index, start = 0, 0
    for entry in segments:
        n, begins = _segment(entry, rank)
        if (n, begins) > (index, start):
            index, start = n, begins
    return index, rank - start


def _segment(entry: Segments, rank: int) -> tuple[int, int]:
    if not entry.sizes:
        return rank // entry.size, rank // entry.size * entry.size
    start = 0
    for n, size in enumerate(entry.sizes):
        if rank < start + size:
            return n, start
        start += size
    return len(entry.sizes), start


def variable(name: str) -> str:
    """A level's or role's name as the end of a variable's name."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())


def muster_env(seat: Seat) -> dict[str, str]:
    """What every container gets."""
    segment, rank = seat.segment
    env = {
        "MUSTER_JOB": seat.job,
        "MUSTER_ROLE": seat.role.name,
        "MUSTER_RANK": str(seat.rank),
        "MUSTER_ROLE_SIZE": str(seat.role.count),
        "MUSTER_ATTEMPT": str(seat.attempt),
        "MUSTER_SEGMENT": str(segment),
        "MUSTER_SEGMENT_RANK": str(rank),
    }
    env |= {f"MUSTER_DOMAIN_{variable(level)}": name for level, name in seat.domains.items()}
    return env | {f"MUSTER_ADDR_{variable(role.name)}": seat.address(role, 0) for role in seat.roles}


def port(seat: Seat, host_network: bool) -> int:
    """The rendezvous port: the usual one, or on the host's network one by hash."""
    if not host_network:
        return PORT
    digest = hashlib.sha256(f"{seat.uid}/{seat.attempt}/{seat.role.name}".encode()).digest()
    return HOST_PORTS[int.from_bytes(digest[:8], "big") % len(HOST_PORTS)]


def launcher_env(launcher: str, seat: Seat, pod: Mapping[str, Any], accelerators: int, timeout: int) -> dict[str, str]:
    """What a container with so many accelerators gets for its launcher; `timeout` in seconds is the start's."""
    master, number = seat.address(rank=0), str(port(seat, pod.get("hostNetwork") is True))
    rank, size = str(seat.rank), str(seat.role.count)
    match launcher:
        case "torchrun":
            grace = pod.get("terminationGracePeriodSeconds")
            grace = grace if isinstance(grace, int) else DEFAULT_GRACE
            return {
                "PET_NNODES": size,
                "PET_NODE_RANK": rank,
                "PET_NPROC_PER_NODE": str(accelerators or 1),
                "PET_MASTER_ADDR": master,
                "PET_MASTER_PORT": number,
                "MASTER_ADDR": master,
                "MASTER_PORT": number,
                "PET_RDZV_ENDPOINT": f"{master}:{number}",
                "PET_RDZV_ID": f"{seat.job}-{seat.uid8}-{seat.attempt}",
                "PET_RDZV_CONF": f"timeout={timeout},join_timeout={timeout}",
                "PET_LOCAL_ADDR": seat.address(),
                "GROUP_RANK": rank,
                "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(max(grace - 5, 1)),
            }
        case "env":
            return {
                "MASTER_ADDR": master,
                "MASTER_PORT": number,
                "RANK": rank,
                "WORLD_SIZE": size,
                "LOCAL_RANK": "0",
                "LOCAL_WORLD_SIZE": "1",
            }
        case "jax":
            return {
                "JAX_COORDINATOR_ADDRESS": f"{master}:{number}",
                "JAX_NUM_PROCESSES": size,
                "JAX_PROCESS_ID": rank,
            }
        case _:
            return {}


OURS_ALONE = frozenset({"PET_NNODES", "PET_NODE_RANK"})
"""Of the launchers' variables those that a template may not set: the API refuses it, an older object loses them."""


def accelerators_of(container: Mapping[str, Any], names: Sequence[str]) -> int:
    """How many accelerators a container asks for."""
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    total = 0
    for name in names:
        amount = amount_of(name, wanted[name]) if name in wanted else 0
        total += 0 if isinstance(amount, Malformed) else amount
    return total
