"""Watches: order, types, selectors, bookmarks, and how one ends."""

from __future__ import annotations

import json

import pytest
from e2e.client import Client, core
from tests.conformance.kit import (
    Object,
    configmap,
    delete,
    job,
    jobs,
    maps,
    pod,
    pods,
    refused,
    rv,
    taken,
    uid,
    watching,
)
from tests.conformance.servers import Server


def version(api: Client, path: str) -> str:
    return str(api.get(path)["metadata"]["resourceVersion"])


def test_what_happens_after_the_version_is_told_in_order(api: Client, own: str) -> None:
    start = version(api, maps(own))
    made = api.post(maps(own), configmap("a", x="1"))
    changed = api.patch(maps(own, "a"), {"data": {"x": "2"}})
    other = api.post(maps(own), configmap("b"))
    delete(api, maps(own, "a"))
    with watching(api, maps(own), start) as watch:
        assert watch.next() == ("ADDED", made)
        assert watch.next() == ("MODIFIED", changed)
        assert watch.next() == ("ADDED", other)
        kind, last = watch.next()
        assert (kind, uid(last), last["data"]) == ("DELETED", uid(made), {"x": "2"})
        # The version of the deletion, so that a watch can go on from it.
        assert int(rv(last)) > int(rv(other))


def test_and_what_happens_while_it_is_open(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own))) as watch:
        made = api.post(maps(own), configmap("a"))
        assert watch.next() == ("ADDED", made)
        api.delete(maps(own, "a"))
        assert watch.named() == ("DELETED", "a")


def test_a_watch_goes_on_from_the_version_of_an_event(api: Client, own: str) -> None:
    start = version(api, maps(own))
    first = api.post(maps(own), configmap("a"))
    api.post(maps(own), configmap("b"))
    with watching(api, maps(own), start) as watch:
        assert watch.named() == ("ADDED", "a")
    with watching(api, maps(own), rv(first)) as watch:
        assert watch.named() == ("ADDED", "b")


@pytest.mark.parametrize("start", [None, "0"], ids=["none", "0"])
def test_without_a_version_all_that_exists_comes_first(api: Client, own: str, start: str | None) -> None:
    made = [api.post(maps(own), configmap(each, {"s": "x"})) for each in ("a", "b")]
    with watching(api, maps(own), start, labelSelector="s=x") as watch:
        assert sorted([watch.next(), watch.next()], key=lambda e: rv(e[1])) == [("ADDED", each) for each in made]
        api.post(maps(own), configmap("c", {"s": "x"}))
        assert watch.named() == ("ADDED", "c")


def test_changes_of_nothing_are_not_told(api: Client, own: str) -> None:
    api.post(maps(own), configmap("a", x="1"))
    with watching(api, maps(own), version(api, maps(own))) as watch:
        api.patch(maps(own, "a"), {"data": {"x": "1"}})
        api.patch(maps(own, "a"), {"data": {"x": "2"}})
        kind, item = watch.next()
        assert (kind, item["data"]) == ("MODIFIED", {"x": "2"})


def test_dry_runs_are_not_told(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own))) as watch:
        api.post(maps(own), configmap("dry"), dryRun="All")
        api.post(maps(own), configmap("wet"))
        assert watch.named() == ("ADDED", "wet")


def test_other_namespaces_and_kinds_are_not_told(api: Client, own: str, ns: str, name: str) -> None:
    with watching(api, maps(own), version(api, maps(own))) as watch:
        api.post(maps(ns), configmap(name))
        api.post(pods(own), pod("p"))
        api.post(maps(own), configmap("a"))
        assert watch.named() == ("ADDED", "a")


def test_all_namespaces(api: Client, own: str, ns: str, name: str) -> None:
    with watching(api, core("configmaps"), version(api, core("configmaps")), labelSelector=f"of={name}") as watch:
        api.post(maps(ns), configmap(name, {"of": name}))
        api.post(maps(own), configmap(name, {"of": name}))
        assert [watch.next()[1]["metadata"]["namespace"] for _ in range(2)] == [ns, own]


def test_what_enters_a_selector_is_added_and_what_leaves_is_deleted(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own)), labelSelector="in=yes") as watch:
        api.post(maps(own), configmap("a"))
        entered = api.patch(maps(own, "a"), {"metadata": {"labels": {"in": "yes"}}})
        assert watch.next() == ("ADDED", entered)
        changed = api.patch(maps(own, "a"), {"data": {"x": "1"}})
        assert watch.next() == ("MODIFIED", changed)
        left = api.patch(maps(own, "a"), {"metadata": {"labels": {"in": "no"}}})
        kind, item = watch.next()
        assert kind == "DELETED"
        # As it was when it last matched, at the version of the change that took it out.
        assert item["metadata"]["labels"] == {"in": "yes"}
        assert rv(item) == rv(left)
        api.delete(maps(own, "a"))
        api.post(maps(own), configmap("b", {"in": "yes"}))
        assert watch.named() == ("ADDED", "b")


def test_a_field_selector_in_a_watch(api: Client, own: str) -> None:
    with watching(api, jobs(own), version(api, jobs(own)), fieldSelector="status.live=true") as watch:
        api.post(jobs(own), job("a"))
        api.patch(jobs(own, "a", "status"), {"status": {"phase": "Placed", "live": True}})
        kind, item = watch.next()
        assert (kind, item["status"]["phase"]) == ("ADDED", "Placed")
        api.patch(jobs(own, "a", "status"), {"status": {"phase": "Pending", "live": False}})
        kind, item = watch.next()
        assert (kind, item["status"]["phase"]) == ("DELETED", "Placed")


def test_one_object_by_its_name(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own)), fieldSelector="metadata.name=b") as watch:
        api.post(maps(own), configmap("a"))
        api.post(maps(own), configmap("b"))
        assert watch.named() == ("ADDED", "b")


def test_a_deletion_with_grace_is_told_as_it_goes(api: Client, own: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": own}})
    api.post(pods(own), pod("a", (), nodeName=own))
    with watching(api, pods(own), version(api, pods(own))) as watch:
        api.delete(pods(own, "a"))
        kind, item = watch.next()
        assert (kind, "deletionTimestamp" in item["metadata"]) == ("MODIFIED", True)
        api.delete(pods(own, "a"), grace=0)
        kinds = [watch.next()]
        while kinds[-1][0] == "MODIFIED":
            kinds.append(watch.next())
        assert kinds[-1][0] == "DELETED"
    api.delete(core("nodes", name=own))


def test_the_server_ends_a_watch_in_time(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own)), seconds=1) as watch:
        assert watch.rest() == []


def test_bookmarks_come_before_the_end(api: Client, own: str) -> None:
    start = version(api, jobs(own))
    with watching(api, jobs(own), start, seconds=4, allowWatchBookmarks="true") as watch:
        made = api.post(jobs(own), job("a"))
        # Something of another kind: the bookmark may go beyond it.
        api.post(maps(own), configmap("a"))
        events = watch.rest()
    assert events[0] == ("ADDED", made)
    marks = [item for kind, item in events if kind == "BOOKMARK"]
    assert marks
    assert marks[-1]["kind"] == "TrainingJob"
    assert marks[-1]["apiVersion"] == "muster.dev/v1alpha1"
    assert int(rv(marks[-1])) >= int(rv(made))
    assert "name" not in marks[-1]["metadata"]
    assert {kind for kind, _ in events[1:]} == {"BOOKMARK"}


def test_no_bookmarks_unasked(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own)), seconds=3) as watch:
        assert watch.rest() == []


def test_a_version_that_is_too_old_is_an_error_in_the_stream(api: Client, own: str, server: Server) -> None:
    """One of the two forms of 410; the other is that of a list."""
    api.post(jobs(own), job("a"))
    if server.expires_watches:
        server.expire()
    with watching(api, jobs(own), "1") as watch:
        kind, status = watch.next()
        assert kind == "ERROR"
        assert (status["kind"], status["apiVersion"]) == ("Status", "v1")
        assert (status["code"], status["reason"], status["status"]) == (410, "Expired", "Failure")
        assert status["message"].startswith("too old resource version: 1 (")
        # And nothing more.
        assert watch.rest() == []


def test_a_version_not_yet_reached_waits(api: Client, own: str) -> None:
    later = str(int(version(api, maps(own))) + 1_000_000)
    with watching(api, maps(own), later, seconds=1) as watch:
        api.post(maps(own), configmap("a"))
        assert watch.rest() == []


def test_a_version_that_is_none(api: Client, own: str) -> None:
    answer = api.send("GET", maps(own), watch="true", resourceVersion="x", timeoutSeconds=1)
    refused(answer, 500, "", 'resourceVersion: Invalid value: "x"')


def test_a_selector_that_does_not_parse(api: Client, own: str) -> None:
    answer = api.send("GET", maps(own), watch="true", labelSelector="a b", timeoutSeconds=1)
    refused(answer, 400, "BadRequest", "unable to parse requirement")


@pytest.mark.parametrize("value", ["1", "true"])
def test_how_a_watch_is_asked_for(api: Client, own: str, value: str) -> None:
    api.post(maps(own), configmap("a", {"s": "x"}))
    answer = api.send("GET", maps(own), watch=value, timeoutSeconds=1, labelSelector="s=x")
    assert answer.headers["Content-Type"] == "application/json"
    assert [json.loads(line)["type"] for line in answer.body.splitlines()] == ["ADDED"]


def test_watch_false_is_a_list(api: Client, own: str) -> None:
    assert api.get(maps(own), watch="false")["kind"] == "ConfigMapList"


def test_events_carry_kind_and_version(api: Client, own: str) -> None:
    with watching(api, maps(own), version(api, maps(own))) as watch:
        api.post(maps(own), configmap("a"))
        item: Object = watch.next()[1]
        assert (item["kind"], item["apiVersion"]) == ("ConfigMap", "v1")


def test_a_deletion_that_waits_for_a_finalizer_is_a_change(api: Client, own: str) -> None:
    body = configmap("a")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    api.post(maps(own), body)
    with watching(api, maps(own), version(api, maps(own))) as watch:
        taken(delete(api, maps(own, "a")))
        assert watch.named() == ("MODIFIED", "a")
        api.patch(maps(own, "a"), {"metadata": {"finalizers": None}})
        assert watch.named() == ("DELETED", "a")


def test_a_list_can_come_as_a_watch(api: Client, own: str) -> None:
    """As informers of newer clients ask; the bookmark says where the list ends."""
    made = [api.post(maps(own), configmap(each, {"s": "x"})) for each in ("a", "b")]
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "labelSelector": "s=x",
    }
    with watching(api, maps(own), None, **query) as watch:
        first = sorted([watch.next(), watch.next()], key=lambda event: rv(event[1]))
        assert first == [("ADDED", each) for each in made]
        kind, mark = watch.next()
        assert kind == "BOOKMARK"
        assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(rv(mark)) >= int(rv(made[-1]))
        api.post(maps(own), configmap("c", {"s": "x"}))
        assert watch.named() == ("ADDED", "c")


def test_which_must_be_asked_for_in_full(api: Client, own: str) -> None:
    answer = api.send("GET", maps(own), watch="true", sendInitialEvents="true", timeoutSeconds=1)
    refused(answer, 422, "Invalid", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
