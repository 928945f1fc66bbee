"""status.lastRepair: what a repair did, and how long it took, stage by stage.

The stages are written with the transitions that a repair makes anyway (Repairing, Starting, Running), never by a write
of their own: what happened between two of them is read off the pods at the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from muster.core.breaks import Break, Fault
from muster.core.model import Committed, LastRepair, Placement
from muster.core.observe import Seen


def began(status: Committed, breaks: Sequence[Break], after: Placement, renewed: int, how: str, now: int) -> LastRepair:
    """A repair is decided that leads to this placement. While the one before it is not through, the gang has been down
    since that one's failure."""
    before = status.placement
    olds = [node for nodes in before.nodes for node in nodes] if before is not None else []
    news = [node for nodes in after.nodes for node in nodes]
    moved = sum(old != new for old, new in zip(olds, news, strict=True))
    noticed = min((b.noticed for b in breaks if b.noticed is not None), default=now)
    happened = min((b.at for b in breaks if b.at is not None), default=noticed)
    last = status.last_repair
    if last is not None and last.attempt == status.attempt and last.running is None:
        happened = min(happened, last.failed)
    detected = min(noticed, now)
    return LastRepair(
        attempt=after.attempt,
        cause=_cause(breaks),
        how=how,
        moved=moved,
        kept=len(news) - moved,
        renewed=renewed,
        failed=min(happened, detected),
        detected=detected,
        decided=now,
    )


def made(status: Committed, seen: Seen) -> LastRepair | None:
    """All pods exist."""
    last = _open(status)
    if last is None:
        return status.last_repair
    deleted = max(last.decided, seen.stopped_at or 0)
    return replace(last, deleted=deleted, created=max(deleted, seen.made_at or 0))


def ran(status: Committed, now: int) -> LastRepair | None:
    """All pods run."""
    last = _open(status)
    return replace(last, running=now) if last is not None else status.last_repair


def _open(status: Committed) -> LastRepair | None:
    """The repair that is under way, if one is."""
    last = status.last_repair
    return last if last is not None and last.attempt == status.attempt and last.running is None else None


def _cause(breaks: Sequence[Break]) -> str:
    faults = {b.fault for b in breaks}
    if Fault.NODE in faults:
        return "node"
    return "disruption" if Fault.DISRUPTED in faults else "failure"
