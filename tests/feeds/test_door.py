"""What only the door decides, without any server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.feeds.conftest import World

from muster.core.model import (
    Admission,
    Change,
    Gone,
    Kind,
    Node,
    PriorityClass,
    Readmit,
    Record,
    Synced,
    TopologySpec,
    Upsert,
)
from muster.feeds import Door, inputs

NODE = Node("n", "u", 5, {}, (("cpu", 1),))
TOPOLOGY = TopologySpec("default", "t", 5, 1, "Auto")


def records(world: World) -> list[Record]:
    return [change.record for change in world.changes if isinstance(change, Upsert)]


@pytest.mark.parametrize(
    ("second", "passes"),
    [
        pytest.param(replace(NODE, rv=6, cordoned=True), True, id="newer and different"),
        pytest.param(replace(NODE, rv=6), False, id="newer and equal"),
        pytest.param(replace(NODE, cordoned=True), False, id="not newer"),
        pytest.param(replace(NODE, rv=4, cordoned=True), False, id="older"),
    ],
)
def test_only_news_pass(world: World, second: Node, passes: bool) -> None:
    world.door.upsert(NODE)
    world.door.upsert(second)
    assert records(world) == ([NODE, second] if passes else [NODE])


def test_an_equal_record_still_moves_the_version_held(world: World) -> None:
    world.door.upsert(NODE)
    world.door.upsert(replace(NODE, rv=9))
    world.door.upsert(replace(NODE, rv=7, cordoned=True))
    assert records(world) == [NODE]


def test_the_version_is_news_where_we_write_by_it(world: World) -> None:
    world.door.upsert(TOPOLOGY)
    world.door.upsert(replace(TOPOLOGY, rv=6))
    world.door.upsert(TopologySpec("other", "o", 7, 1, "Auto"))
    assert records(world) == [TOPOLOGY, replace(TOPOLOGY, rv=6)]


def test_a_list_removes_what_it_lacks_unless_that_is_newer(world: World) -> None:
    for uid, rv in (("old", 5), ("kept", 5), ("new", 50)):
        world.door.upsert(replace(NODE, name=uid, uid=uid, rv=rv))
    world.door.listed(Kind.NODE, {"kept"}, "40")
    assert [c.id for c in world.changes if isinstance(c, Gone)] == ["old"]
    assert world.door.held(Kind.NODE) == 2


def test_memory_of_the_gone_is_bounded() -> None:
    heard: list[Change] = []
    door = Door(heard.append, lambda: 0, gone_kept=2)
    for uid in "abc":
        door.upsert(replace(NODE, uid=uid))
        door.gone(Kind.NODE, uid)
    heard.clear()
    for uid in "abc":
        door.upsert(replace(NODE, uid=uid))
    assert [change.record.uid for change in heard if isinstance(change, Upsert)] == ["a"], "the others are not believed"


def test_a_priority_class_may_come_back_by_its_name(world: World) -> None:
    world.door.upsert(PriorityClass("p", 5, 1, False))
    world.door.gone(Kind.PRIORITY_CLASS, "p")
    world.door.upsert(PriorityClass("p", 8, 2, False))
    assert len(world.changes) == 3


def test_what_has_no_version_passes(world: World) -> None:
    world.door.upsert(Admission("ns", "t"))
    world.door.upsert(Admission("ns", "t"))
    assert len(world.changes) == 2


def test_what_only_an_answer_showed_is_looked_for() -> None:
    now = 0
    heard: list[Change] = []
    door = Door(heard.append, lambda: now)
    door.answer(Upsert(NODE, 0))
    door.answer(Upsert(replace(NODE, uid="seen"), 0))
    door.put(Upsert(replace(NODE, uid="seen"), 10))
    now = 60_000
    assert door.overdue(60_000) == {Kind.NODE}
    door.gone(Kind.NODE, "u")
    assert door.overdue(60_000) == set()


def test_only_a_claim_that_is_bound_otherwise_asks_admission_again(world: World) -> None:
    def said(rv: int, volume: str) -> bytes:
        meta = {"name": "data", "namespace": "ns", "uid": "u", "resourceVersion": str(rv)}
        return json.dumps({"type": "MODIFIED", "object": {"metadata": meta, "spec": {"volumeName": volume}}}).encode()

    followed = inputs.volume_claims(world.door)
    followed.sink(Synced(Kind.CHILD))
    for rv, volume in ((1, ""), (2, ""), (3, "pv"), (4, "pv"), (3, "older")):
        event = followed.event(said(rv, volume))
        assert event.record is not None
        followed.sink(Upsert(event.record, 0))
    assert world.changes == [Readmit("ns", "data")] * 2
    followed.sink(Gone(Kind.CHILD, "u", 0))
    assert world.changes == [Readmit("ns", "data")] * 3


def test_a_changed_limit_range_asks_admission_again(world: World) -> None:
    def obj(rv: int) -> dict[str, object]:
        return {"metadata": {"name": "l", "namespace": "ns", "uid": "u", "resourceVersion": str(rv)}}

    followed = inputs.rules(world.door)
    page = followed.page(
        json.dumps({"metadata": {"resourceVersion": "9", "continue": "x"}, "items": [obj(3)]}).encode()
    )
    assert (page.rv, page.next, page.ids) == ("9", "x", ("u",))
    for record in page.records:
        followed.sink(Upsert(record, 0))
    followed.sink(Synced(Kind.CHILD))
    assert world.changes == []
    for rv in (3, 4):
        event = followed.event(json.dumps({"type": "MODIFIED", "object": obj(rv)}).encode())
        assert event.record is not None
        followed.sink(Upsert(event.record, 0))
    followed.sink(Gone(Kind.CHILD, "u", 0))
    assert world.changes == [Readmit("ns"), Readmit("ns")]
    error = followed.event(b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"old"}}')
    assert error.status is not None
    assert error.status.code == 410
