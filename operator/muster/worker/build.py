"""Puts the workers together: what `app` calls."""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable
from dataclasses import dataclass

from muster.core.model import Change
from muster.core.world import World
from muster.kube.backoff import Random
from muster.kube.client import Client
from muster.kube.render import SCHEDULER
from muster.worker.api import Api
from muster.worker.carry import Carrier
from muster.worker.commit import Committer
from muster.worker.pool import Observer, Workers
from muster.worker.reaper import Reaper
from muster.worker.steps import Steps
from muster.worker.tools import Gate, Tools
from muster.worker.topology import Tell, TopologyWriter, untold
from muster.worker.views import Views


@dataclass(frozen=True, slots=True)
class Writers:
    """All that writes, the Lease and Events apart. `reaper.run()` and `topology.run()` are tasks of their own; they and
    the workers stop sending as soon as `gate` is closed."""

    workers: Workers
    reaper: Reaper
    topology: TopologyWriter
    gate: Gate


def build(
    world: World,
    client: Client,
    *,
    put: Callable[[Change], None],
    now: Callable[[], int],
    lease_fresh: Callable[[], bool],
    on_stale: Callable[[], None],
    observer: Observer,
    in_flight: int = 32,
    page_size: int = 500,
    scheduler: str = SCHEDULER,
    reaper_interval: float = 10.0,
    reaper_head_start: float = 20.0,
    topology_interval: float = 30.0,
    tell: Tell = untold,
    clock: Callable[[], float] = time.monotonic,
    random: Random = _random.random,
) -> Writers:
    """Make the writers of `world`. `put` is the door; `now` the wall clock in ms; `clock` the event loop's. `on_stale`
    is called once, when a write is about to be sent after the lease has run out; nothing is sent from then on. `tell`
    hears what is to be said about nodes."""
    gate = Gate(lease_fresh, on_stale)
    tools = Tools(put, now, gate, clock, random)
    api = Api(client, now=now, topology=lambda: world.topology, page_size=page_size, scheduler=scheduler)
    steps = Steps(api, Views(api, tools), tools)
    carrier = Carrier(steps, tools, in_flight=in_flight, on_defect=observer.defect)
    return Writers(
        Workers(world, Committer(api, tools), carrier, tools, observer),
        Reaper(world, api, tools, interval=reaper_interval, head_start=reaper_head_start),
        TopologyWriter(world, api, tools, interval=topology_interval, tell=tell),
        gate,
    )
