"""What the demo tells of a repair: who moved, and when each stage was reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from muster.kube.hostlist import expand
from muster.kube.quantity import Malformed

STAGES = {
    "detected": "seen",
    "decided": "decided",
    "deleted": "old pods gone",
    "created": "new pods made",
    "running": "all running",
}
LAST_WORDS = """Traceback (most recent call last):
  File "train.py", line 118, in step
    loss.backward()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB"""
Object = dict[str, Any]


def ended() -> Object:
    """The patch of a pod with which the stand-in kubelet lets it fail at once."""
    wishes = {"run-seconds": "0", "exit-code": "1", "message": LAST_WORDS}
    return {"metadata": {"annotations": {f"fake.muster.dev/{name}": value for name, value in wishes.items()}}}


def where(status: Mapping[str, Any]) -> dict[int, str]:
    """The nodes of the ranks of a gang of one role, as its status has them committed."""
    nodes = expand(status["placement"]["roles"][0]["nodes"])
    return {} if isinstance(nodes, Malformed) else dict(enumerate(nodes))


@dataclass(frozen=True, slots=True)
class Mended:
    """One repair. `moved`: rank, its node before and after. `seconds` from the failure to each stage."""

    job: str
    attempt: int
    cause: str
    why: str
    moved: tuple[tuple[int, str, str], ...]
    kept: int
    seconds: Mapping[str, float]

    @property
    def same_racks(self) -> bool:
        """Whoever moved stayed in its rack."""
        return all(rack(old) == rack(new) for _, old, new in self.moved)

    def moves(self) -> str:
        """Who moved and who did not, in words."""
        if not self.moved:
            return f"all {self.kept} ranks keep their nodes"
        rank, old, new = self.moved[0]
        rest = f", and {len(self.moved) - 1} more ranks move" if len(self.moved) > 1 else ""
        said = f"rank {rank} moves from {old} to {new}{rest}, "
        return f"{said}{'in the same rack' if self.same_racks else 'in another rack'}; {self.kept} keep theirs"

    def stages(self) -> str:
        """When each stage was reached, in words."""
        return ", ".join(f"{said} {self.seconds[name]:.1f}" for name, said in STAGES.items() if name in self.seconds)

    def as_json(self) -> Object:
        """For machines."""
        return {
            "job": self.job,
            "attempt": self.attempt,
            "cause": self.cause,
            "moved": [{"rank": rank, "from": old, "to": new} for rank, old, new in self.moved],
            "kept": self.kept,
            "sameRacks": self.same_racks,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def mended(job: str, status: Mapping[str, Any], before: Mapping[int, str]) -> Mended | None:
    """The last repair of a job's status, with the nodes of its ranks before and after it; None if there was none."""
    repair = status.get("lastRepair")
    if repair is None:
        return None
    after, failed = where(status), datetime.fromisoformat(repair["failed"])
    return Mended(
        job,
        repair["attempt"],
        repair["cause"],
        str((status.get("lastFailure") or {}).get("message", "")),
        tuple((rank, node, after[rank]) for rank, node in sorted(before.items()) if after[rank] != node),
        sum(after[rank] == node for rank, node in before.items()),
        {name: (datetime.fromisoformat(repair[name]) - failed).total_seconds() for name in STAGES if name in repair},
    )


def rack(node: str) -> str:
    """The rack that a node's name tells."""
    return node.partition("-")[0]
