"""What is the embedded server's own: determinism, faults, time. The API's behaviour is in the conformance suite."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from tests.embedded.talk import MAPS, PODS, Talk, configmap, events, pod, told

import muster.embedded
from muster.embedded.server import Server
from muster.embedded.wire import Request, Watch


@pytest.fixture
def talk() -> Talk:
    return Talk()


def story(talk: Talk) -> list[bytes]:
    """Some calls, and all that they answer."""
    watch = talk.watch(PODS, resourceVersion=0)
    said: list[bytes] = []
    for number in range(5):
        body = pod("", ("a/b",)) | {"metadata": {"generateName": "p-"}}
        said.append(talk.send("POST", PODS, body).body)
        talk.clock.move(1.5)
        name = json.loads(said[-1])["metadata"]["name"]
        said.append(
            talk.send(
                "PATCH", f"{PODS}/{name}", {"spec": {"schedulingGates": None}}, "application/merge-patch+json"
            ).body
        )
        if number % 2:
            said.append(talk.send("DELETE", f"{PODS}/{name}").body)
        talk.server.tick()
    return said + watch.take() + [talk.send("GET", PODS).body]


def test_the_same_calls_give_the_same_bytes() -> None:
    assert story(Talk(seed=7)) == story(Talk(seed=7))
    assert story(Talk(seed=7)) != story(Talk(seed=8))


def test_pages_are_of_one_moment_whatever_is_written_between(talk: Talk) -> None:
    for number in range(10):
        talk.post(MAPS, configmap(f"m{number}", a="old"))
    seen: dict[str, str] = {}
    token, versions = "", set()
    while True:
        page = talk.get(MAPS, limit=3, **({"continue": token} if token else {}))
        versions.add(page["metadata"]["resourceVersion"])
        seen |= {item["metadata"]["name"]: item["data"]["a"] for item in page["items"]}
        token = page["metadata"].get("continue", "")
        if not token:
            break
        talk.call("DELETE", f"{MAPS}/m{9 - len(seen) // 3}")
        talk.merge(f"{MAPS}/m5", {"data": {"a": "new"}})
        talk.post(MAPS, configmap(f"m0{len(seen)}"))
    assert seen == {f"m{number}": "old" for number in range(10)}
    assert len(versions) == 1


def test_pages_end_with_the_history(talk: Talk) -> None:
    for number in range(4):
        talk.post(MAPS, configmap(f"m{number}"))
    page = talk.get(MAPS, limit=2)
    talk.post(MAPS, configmap("m9"))
    talk.server.expire_history()
    status = talk.refused(410, "GET", MAPS, limit=2, **{"continue": page["metadata"]["continue"]})
    assert status["reason"] == "Expired"
    # The token that is offered instead goes on, without the consistency.
    assert talk.names(MAPS, **{"continue": status["metadata"]["continue"]}) == ["m2", "m3", "m9"]


def test_too_old_a_watch_is_told_in_both_forms(talk: Talk) -> None:
    old = talk.get(MAPS)["metadata"]["resourceVersion"]
    talk.post(MAPS, configmap("m"))
    talk.server.expire_history()
    watch = talk.watch(MAPS, resourceVersion=old)
    ((type, status),) = events(watch)
    assert (type, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert watch.closed
    talk.server.expire_by_status(True)
    answer = talk.server.watch(Request("GET", MAPS, (("watch", "1"), ("resourceVersion", old))))
    assert not isinstance(answer, Watch)
    assert answer.status == 410


def test_history_goes_by_itself_in_the_end() -> None:
    talk = Talk(history=20)
    old = talk.get(MAPS)["metadata"]["resourceVersion"]
    for number in range(30):
        talk.post(MAPS, configmap(f"m{number}"))
    assert events(talk.watch(MAPS, resourceVersion=old))[0][0] == "ERROR"


def test_stale_reads_are_those_that_allow_it(talk: Talk) -> None:
    first = talk.post(MAPS, configmap("m", a="1"))["metadata"]["resourceVersion"]
    talk.merge(f"{MAPS}/m", {"data": {"a": "2"}})
    talk.post(MAPS, configmap("n"))
    talk.server.read_stale(int(first))
    assert talk.get(f"{MAPS}/m", resourceVersion=0)["data"] == {"a": "1"}
    page = talk.get(MAPS, resourceVersion=0)
    assert [item["metadata"]["name"] for item in page["items"]] == ["m"]
    assert page["metadata"]["resourceVersion"] == first
    talk.refused(404, "GET", f"{MAPS}/n", resourceVersion=0)
    assert talk.get(f"{MAPS}/m")["data"] == {"a": "2"}
    assert talk.names(MAPS) == ["m", "n"]
    talk.server.read_stale(None)
    assert talk.names(MAPS, resourceVersion=0) == ["m", "n"]


def test_a_restart_ends_watches_and_keeps_objects(talk: Talk) -> None:
    made = talk.post(MAPS, configmap("m"))
    watch = talk.watch(MAPS, resourceVersion=made["metadata"]["resourceVersion"])
    talk.server.restart()
    assert watch.closed
    assert talk.get(f"{MAPS}/m") == made
    later = talk.watch(MAPS, resourceVersion=made["metadata"]["resourceVersion"])
    talk.post(MAPS, configmap("n"))
    assert told(later) == [("ADDED", "n")]


def test_bookmarks_come_once_a_minute(talk: Talk) -> None:
    watch = talk.watch(MAPS, resourceVersion=1, allowWatchBookmarks="true")
    plain = talk.watch(MAPS, resourceVersion=1)
    made = talk.post(MAPS, configmap("m"))
    due = talk.server.tick()
    assert due is not None
    assert told(watch) == [("ADDED", "m")]
    talk.clock.at = due
    talk.server.tick()
    ((type, mark),) = events(watch)
    assert (type, mark["kind"]) == ("BOOKMARK", "ConfigMap")
    assert int(mark["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
    assert told(plain) == [("ADDED", "m")]


def test_an_event_is_serialised_once(talk: Talk) -> None:
    watches = [talk.watch(MAPS, resourceVersion=0) for _ in range(3)]
    talk.post(MAPS, configmap("m"))
    lines = [watch.take() for watch in watches]
    assert len({id(each[0]) for each in lines}) == 1


def test_news_come_while_the_write_is_under_way(talk: Talk) -> None:
    heard: list[int] = []
    watch = talk.watch(MAPS, resourceVersion=0)
    watch.on_news = lambda: heard.append(1)
    talk.post(MAPS, configmap("m"))
    assert heard == [1]
    watch.close()
    talk.post(MAPS, configmap("n"))
    assert heard == [1]
    assert watch.take() == []


def test_who_takes_nothing_is_cut_off(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.embedded.wire.SLOWEST", 3)
    watch = talk.watch(MAPS, resourceVersion=0)
    for number in range(5):
        talk.post(MAPS, configmap(f"m{number}"))
    assert watch.closed
    assert watch.take() == []


def test_selection_makes_objects_come_and_go(talk: Talk) -> None:
    watch = talk.watch(MAPS, resourceVersion=0, labelSelector="on=yes")
    talk.post(MAPS, configmap("m", a="1"))
    talk.merge(f"{MAPS}/m", {"metadata": {"labels": {"on": "yes"}}})
    talk.merge(f"{MAPS}/m", {"data": {"a": "2"}})
    gone = talk.merge(f"{MAPS}/m", {"metadata": {"labels": {"on": "no"}}, "data": {"a": "3"}})
    seen = events(watch)
    assert [type for type, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    # As it was while it was selected, at the revision at which it ceased to be.
    assert seen[2][1]["data"] == {"a": "2"}
    assert seen[2][1]["metadata"]["resourceVersion"] == gone["metadata"]["resourceVersion"]


def test_events_are_gone_after_an_hour(talk: Talk) -> None:
    path = "/api/v1/namespaces/default/events"
    body = {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R"}
    talk.post(path, body | {"metadata": {"name": "a"}})
    talk.clock.move(1800)
    talk.merge(f"{path}/a", {"count": 2})
    talk.clock.move(1801)
    talk.settle()
    assert talk.names(path) == ["a"]
    talk.clock.move(1800)
    talk.settle()
    assert talk.names(path) == []


def test_what_is_not_served_is_refused_aloud(talk: Talk) -> None:
    talk.post(PODS, pod("p"))
    for sub in ("exec", "attach", "portforward", "ephemeralcontainers", "resize"):
        status = talk.refused(501, "POST", f"{PODS}/p/{sub}", {})
        assert "the embedded server does not do this" in status["message"]
    assert talk.send("GET", "/apis/apps/v1/deployments").status == 404
    status = talk.refused(
        422,
        "POST",
        "/api/v1/namespaces/default/resourcequotas",
        {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}},
    )
    assert "whole namespaces only" in status["message"]


def test_the_kinds_of_two_servers_are_their_own() -> None:
    first, second = Talk(), Talk()
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    first.server.install([crd])
    first.server.install([crd])
    path = "/apis/example.com/v1/namespaces/default/things"
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "size": 3}
    assert first.post(path, thing)["size"] == 3
    assert second.send("GET", path).status == 404
    first.call("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com")
    first.settle()
    assert first.send("GET", path).status == 404


def test_a_server_asks_nobody_for_the_time() -> None:
    asked: list[int] = []

    def now() -> int:
        asked.append(1)
        return 1_000

    server = Server(now)
    assert asked
    body = json.dumps(configmap("m")).encode()
    made = server.handle(Request("POST", MAPS, body=body, content_type="application/json"))
    assert json.loads(made.body)["metadata"]["creationTimestamp"] == "1970-01-01T00:00:01Z"


DRIVERS = {"http", "cluster", "__main__"}
IMPURE = {"asyncio", "aiohttp", "socket", "threading", "subprocess", "time", "ssl", "selectors"}


def test_only_the_drivers_do_io_or_know_the_time() -> None:
    for file in sorted(Path(muster.embedded.__path__[0]).glob("*.py")):
        found = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if file.stem not in DRIVERS:
            assert not found & IMPURE, file.name
