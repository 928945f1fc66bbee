"""The store by itself: snapshots of the past are exact, whatever was written since."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.embedded.kinds import BUILT_IN, Kind
from muster.embedded.storage.store import Entry, Expired, Snapshot, Store

MAPS: Kind = next(kind for kind in BUILT_IN if kind.plural == "configmaps")


def body(namespace: str, name: str, uid: str, owners: tuple[str, ...] = ()) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid}
    if owners:
        meta["ownerReferences"] = [{"uid": owner} for owner in owners]
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta}


def shown(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [(entry.key, entry.rv) for entry in snapshot.scan("")]


Write = tuple[str, int]
WRITES = st.lists(st.tuples(st.sampled_from(("put", "remove")), st.integers(0, 5)), max_size=40)


def write(store: Store, what: str, number: int) -> None:
    table = store.table(MAPS)
    held: Entry | None = table.entries.get(f"ns{number % 2}/m{number}")
    obj = body(f"ns{number % 2}", f"m{number}", f"uid-{store.rv if held is None else held.uid}")
    if what == "put":
        store.put(table, obj, held)
    elif held is not None:
        store.remove(table, obj, held)


@given(WRITES)
@settings(max_examples=100, deadline=None)
def test_every_revision_can_be_seen_again(writes: list[Write]) -> None:
    store = Store(1000)
    table = store.table(MAPS)
    past = {store.rv: shown(table)}
    for what, number in writes:
        write(store, what, number)
        past[store.rv] = shown(table)
    for rv, seen in past.items():
        snapshot = table.at(rv)
        assert shown(snapshot) == seen
        assert [e.key for e in snapshot.scan("ns1")] == [key for key, _ in seen if key.startswith("ns1/")]
        keys = [key for key, _ in seen]
        for index, key in enumerate(keys):
            assert snapshot.count_after("", key) == len(keys) - index - 1
    assert sorted(table.entries) == table.order


@given(WRITES, st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_the_history_is_bounded_and_says_so(writes: list[Write], limit: int) -> None:
    store = Store(limit)
    table = store.table(MAPS)
    past = {store.rv: shown(table)}
    for what, number in writes:
        write(store, what, number)
        past[store.rv] = shown(table)
    assert len(table.history) <= limit
    for rv, seen in past.items():
        if rv < store.floor:
            with pytest.raises(Expired):
                store.check(rv)
        else:
            store.check(rv)
            assert shown(table.at(rv)) == seen


def test_the_history_is_bounded_in_bytes() -> None:
    store = Store(1000, history_bytes=1000)
    table = store.table(MAPS)
    for number in range(100):
        store.put(table, body("ns", f"m{number}", f"u{number}"), None)
    assert sum(len(event.entry.data) for event in table.history) <= 1000
    assert store.floor > 1


def test_owners_are_found_by_what_they_own() -> None:
    store = Store(100)
    table = store.table(MAPS)
    first = store.put(table, body("ns", "a", "a", ("x", "y")), None)
    store.put(table, body("ns", "b", "b", ("x",)), None)
    assert [entry.name for _, entry in store.dependents("x")] == ["a", "b"]
    second = store.put(table, body("ns", "a", "a", ("y",)), first)
    assert [entry.name for _, entry in store.dependents("x")] == ["b"]
    store.remove(table, body("ns", "a", "a", ("y",)), second)
    assert store.dependents("y") == []
    assert store.by_uid("a") is None
