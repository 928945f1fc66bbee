"""What ClusterTopology.status and the Events at nodes say of nodes that all jobs avoid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support import builders as b
from tests.support.faketransport import virtual
from tests.worker.fake import Bench

from muster.core.model import Avoided, NodePast, Remembered, TopologySpec, TopologyStatus, Upsert
from muster.core.world import World
from muster.kube.events import Subject
from muster.kube.parse_topology import topology_from
from muster.worker.topology import MOST_AVOIDED, TopologyWriter, topology_patch

BAD = Avoided("a", 3, b.START)


class Api:
    """Takes what is written, and answers with the object as it is then."""

    def __init__(self) -> None:
        self.said: list[TopologyStatus] = []

    async def write_topology_status(self, topology: TopologySpec, said: TopologyStatus) -> TopologySpec:
        self.said.append(said)
        return replace(topology, rv=topology.rv + 1, avoided=said.avoided)


class Desk:
    """A writer of a world, and what it told."""

    def __init__(self, *records: Any) -> None:
        self.world = World.of(b.changes(*(records or (b.topology(),)), b.node("a")))
        self.api, self.bench = Api(), Bench()
        self.told: list[tuple[Subject, str, str]] = []
        self.writer = self.another()

    def another(self) -> TopologyWriter:
        self.bench.sink = self.world.apply
        return TopologyWriter(self.world, self.api, self.bench.tools, tell=lambda *said: self.told.append(said))


@virtual
async def test_a_node_that_is_avoided_is_written_and_told_once() -> None:
    desk = Desk()
    await desk.writer.write()
    assert (desk.told, desk.api.said[-1].avoided) == ([], ())
    desk.world.apply(Remembered(NodePast("a", avoided=BAD)))
    for _ in range(3):
        await desk.writer.write()
    ((subject, reason, message),) = desk.told
    assert (subject, reason) == (Subject("v1", "Node", "", "a", "node-a"), "AvoidedByAll")
    assert "3 jobs blamed this node within 24 h" in message
    assert "muster.dev/clear-blame is a time after 2023-11-14T22:13:20Z" in message
    assert [said.avoided for said in desk.api.said] == [(), (BAD,)]
    await desk.another().write()
    assert len(desk.told) == 1, "the next leader reads in the status that it was told"


@virtual
async def test_without_a_cluster_topology_it_is_told_all_the_same() -> None:
    desk = Desk(b.node("b"))
    desk.world.apply(Remembered(NodePast("a", avoided=BAD)))
    desk.world.apply(Remembered(NodePast("not here", avoided=replace(BAD, node="not here"))))
    await desk.writer.write()
    await desk.writer.write()
    assert (len(desk.told), desk.api.said) == (1, [])


@virtual
async def test_blamed_again_after_it_was_cleared_is_news() -> None:
    desk = Desk()
    desk.world.apply(Remembered(NodePast("a", avoided=BAD)))
    await desk.writer.write()
    desk.world.apply(Upsert(b.node("a", cleared=b.START + 1), b.START))
    await desk.writer.write()
    assert desk.api.said[-1].avoided == ()
    again = replace(BAD, since=b.START + 2_000)
    desk.world.apply(Remembered(NodePast("a", avoided=again)))
    await desk.writer.write()
    assert (len(desk.told), desk.api.said[-1].avoided) == (2, (again,))


@pytest.mark.parametrize("nodes", [0, 2, MOST_AVOIDED + 5])
def test_what_is_written_is_read_back(nodes: int) -> None:
    avoided = tuple(Avoided(f"n{i}", 3, b.START + i * 1000) for i in range(nodes))
    said = TopologyStatus((), 10, 8, (), "Custom", "", 1, avoided)
    patch = topology_patch(b.topology(), said, b.START)
    read = topology_from({"metadata": {}, "status": patch["status"]}).avoided
    assert set(read) == set(avoided[-MOST_AVOIDED:]), "the oldest go"
