"""What happens to the control plane, and on the way to it."""

from __future__ import annotations

import random

from muster.sim.scene import Scene
from muster.sim.strikes.kinds import kind
from muster.sim.weather import Spell

QUOTAS = "/api/v1/namespaces/default/resourcequotas"


@kind
def _api_restart(scene: Scene, draw: random.Random) -> None:
    """The API server restarts."""
    scene.deeds.restart_api(draw.uniform(0.1, 12))


@kind
def _compaction(scene: Scene, draw: random.Random) -> None:
    """Etcd forgets the past: watches that begin there are answered by 410."""
    scene.deeds.compact()


@kind
def _throttling(scene: Scene, draw: random.Random) -> None:
    """Requests are answered by 429."""
    _spell(scene, draw, "code", 429)


@kind
def _conflicts(scene: Scene, draw: random.Random) -> None:
    """Writes are answered by 409 though nothing is in the way."""
    _spell(scene, draw, "code", 409, channels=("write",))


@kind
def _server_errors(scene: Scene, draw: random.Random) -> None:
    """Requests are answered by 500 or 503."""
    _spell(scene, draw, "code", draw.choice([500, 503]))


@kind
def _time_outs(scene: Scene, draw: random.Random) -> None:
    """Writes are carried out and answered by 504."""
    _spell(scene, draw, "code-after", 504, channels=("write", "lease"))


@kind
def _lost_requests(scene: Scene, draw: random.Random) -> None:
    """Requests do not arrive."""
    _spell(scene, draw, "lost", draw.choice([0, 3]))


@kind
def _lost_answers(scene: Scene, draw: random.Random) -> None:
    """Requests are carried out, and the answer is lost."""
    _spell(scene, draw, "lose-reply", draw.choice([0, 3]), channels=("write", "lease", "read"))


@kind
def _late_writes(scene: Scene, draw: random.Random) -> None:
    """Writes arrive seconds after the connection broke."""
    _spell(scene, draw, "late", draw.uniform(0.1, 20), channels=("write", "lease"))


@kind
def _slow_answers(scene: Scene, draw: random.Random) -> None:
    """The API server is slow."""
    _spell(scene, draw, "slow", draw.uniform(0.2, 4))


@kind
def _no_connection(scene: Scene, draw: random.Random) -> None:
    """Connections are refused now and then."""
    _spell(scene, draw, "refuse", 0)


@kind
def _watches_cut(scene: Scene, draw: random.Random) -> None:
    """Watches break off."""
    _spell(scene, draw, draw.choice(["cut-before", "cut-after"]), 0)


@kind
def _watches_expire(scene: Scene, draw: random.Random) -> None:
    """Watches end with 410."""
    _spell(scene, draw, "expire", 0)


@kind
def _watches_double(scene: Scene, draw: random.Random) -> None:
    """Watches deliver events twice."""
    _spell(scene, draw, "double", 0)


@kind
def _watches_late(scene: Scene, draw: random.Random) -> None:
    """Watches of some kinds lag."""
    kinds = draw.sample(["pods", "nodes", "trainingjobs", "services", "clustertopologies"], 2)
    _spell(scene, draw, "delay", draw.uniform(0.05, 3), channels=tuple(kinds))


@kind
def _stale_caches(scene: Scene, draw: random.Random) -> None:
    """All watches of an operator stand still."""
    seat = draw.choice(scene.world.seats)
    seat.counts.silent_until = max(seat.counts.silent_until, scene.world.now + draw.uniform(1, 40))


@kind
def _quota(scene: Scene, draw: random.Random) -> None:
    """A ResourceQuota leaves no room, and goes again."""
    name = f"quota-{next(scene.numbers)}"
    head = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
    scene.deeds.call("POST", QUOTAS, head | {"spec": {"hard": {"pods": str(draw.randint(0, 6))}}})
    scene.later(draw.uniform(5, 60), lambda: scene.deeds.call("DELETE", f"{QUOTAS}/{name}"))


@kind
def _refused_by_policy(scene: Scene, draw: random.Random) -> None:
    """An admission policy refuses all pods for a while."""
    scene.sky.refusing = 'pods "x" is forbidden: not today'
    scene.later(draw.uniform(2, 20), lambda: setattr(scene.sky, "refusing", ""))


def _spell(scene: Scene, draw: random.Random, what: str, value: float, channels: tuple[str, ...] = ()) -> None:
    """Trouble between an operator, or all, and the API server for a while."""
    seat = draw.choice([None, *(seat.number for seat in scene.world.seats)])
    until = scene.world.now + draw.uniform(1, 25)
    share = draw.choice([0.05, 0.2, 0.6])
    scene.sky.spells.append(Spell(until, share, what, value, frozenset(channels), seat))
