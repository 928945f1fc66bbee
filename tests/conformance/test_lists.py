"""Lists: their form, pages of one snapshot, what resourceVersion asks for, and what is too old."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.client import Answer, Client, core, wait_for
from tests.conformance.kit import Object, configmap, job, jobs, maps, names, refused, rv, taken
from tests.conformance.servers import Server

TOTAL = 7
SOON = 30.0


@pytest.fixture(scope="module")
def many(api: Client, namespaces: Callable[[str], str]) -> str:
    """A namespace with seven ConfigMaps, m0 .. m6, whose label `half` is low or high."""
    ns = namespaces("many")
    for number in range(TOTAL):
        api.post(maps(ns), configmap(f"m{number}", {"set": "many", "half": "low" if number < 4 else "high"}))
    return ns


def many_of(listed: Object) -> list[str]:
    return [each for each in names(listed) if each.startswith("m")]


def chosen(api: Client, ns: str, **parameters: object) -> Object:
    return api.get(maps(ns), labelSelector="set=many", **parameters)


def test_a_list_has_kind_version_and_items_in_order(api: Client, many: str) -> None:
    listed = chosen(api, many)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(listed) == [f"m{number}" for number in range(TOTAL)]
    assert int(listed["metadata"]["resourceVersion"]) >= max(int(rv(item)) for item in listed["items"])
    assert "continue" not in listed["metadata"]
    # The items of a built-in kind do not say what they are.
    assert not {"kind", "apiVersion"} & listed["items"][0].keys()


def test_items_of_a_custom_kind_say_what_they_are(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    listed = api.get(jobs(ns))
    assert (listed["kind"], listed["apiVersion"]) == ("TrainingJobList", "muster.dev/v1alpha1")
    assert {(item["kind"], item["apiVersion"]) for item in listed["items"]} == {("TrainingJob", "muster.dev/v1alpha1")}


def test_all_namespaces_in_one_list(api: Client, many: str, own: str) -> None:
    api.post(maps(own), configmap("m1", {"set": "many"}))
    listed = api.get(core("configmaps"), labelSelector="set=many")
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listed["items"]]
    assert (own, "m1") in found
    assert (many, "m1") in found
    assert found == sorted(found)


def test_an_empty_list_has_items_and_a_version(api: Client, ns: str) -> None:
    listed = api.get(jobs("nowhere"))
    assert listed["items"] == []
    assert int(listed["metadata"]["resourceVersion"]) > 0


def test_pages_make_up_one_list(api: Client, many: str) -> None:
    whole = chosen(api, many)
    pages = [chosen(api, many, limit=3)]
    while token := pages[-1]["metadata"].get("continue"):
        pages.append(chosen(api, many, limit=3, **{"continue": token}))
    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert [item for page in pages for item in page["items"]] == whole["items"]
    assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1


def test_a_page_says_how_many_remain(api: Client, many: str) -> None:
    whole = api.get(maps(many))
    page = api.get(maps(many), limit=2)
    assert page["metadata"]["remainingItemCount"] == len(whole["items"]) - 2
    # With a selector nobody has counted.
    assert "remainingItemCount" not in chosen(api, many, limit=2)["metadata"]


def test_a_limit_that_takes_all_leaves_nothing_to_continue(api: Client, many: str) -> None:
    for limit in (TOTAL, TOTAL + 1, 0):
        assert len(chosen(api, many, limit=limit)["items"]) == TOTAL
    assert "continue" not in api.get(maps(many), limit=500)["metadata"]


def test_pages_are_of_one_moment(api: Client, own: str) -> None:
    for letter in "abcd":
        api.post(maps(own), configmap(f"m-{letter}"))
    first = api.get(maps(own), limit=2)
    api.post(maps(own), configmap("m-bb"))
    api.delete(maps(own, "m-c"))
    api.patch(maps(own, "m-d"), {"data": {"new": "1"}})
    rest = api.get(maps(own), limit=9, **{"continue": first["metadata"]["continue"]})
    assert [each for each in names(first) + names(rest) if each.startswith("m-")] == ["m-a", "m-b", "m-c", "m-d"]
    assert "data" not in rest["items"][-1]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert [each for each in names(api.get(maps(own))) if each.startswith("m-")] == ["m-a", "m-b", "m-bb", "m-d"]


def test_pages_of_a_custom_kind(api: Client, own: str) -> None:
    for letter in "abc":
        api.post(jobs(own), job(letter))
    first = api.get(jobs(own), limit=2)
    api.delete(jobs(own, "c"))
    rest = api.get(jobs(own), limit=2, **{"continue": first["metadata"]["continue"]})
    assert names(first) + names(rest) == ["a", "b", "c"]


def test_a_token_that_is_none(api: Client, ns: str) -> None:
    answer = api.send("GET", maps(ns), limit=2, **{"continue": "nonsense"})
    refused(answer, 400, "BadRequest", "continue key is not valid")


def test_a_token_and_a_version_exclude_each_other(api: Client, many: str) -> None:
    token = chosen(api, many, limit=2)["metadata"]["continue"]
    answer = api.send("GET", maps(many), limit=2, resourceVersion="1", **{"continue": token})
    refused(answer, 400, "BadRequest", "specifying resource version is not allowed when using continue")


def test_a_token_that_is_too_old(api: Client, own: str, server: Server) -> None:
    for letter in "abcd":
        api.post(maps(own), configmap(f"m-{letter}"))
    first = api.get(maps(own), limit=2)
    api.post(maps(own), configmap("m-e"))
    server.expire()

    def ask() -> Answer:
        return api.send("GET", maps(own), limit=2, **{"continue": first["metadata"]["continue"]})

    wait_for(lambda: ask().status != 200, SOON, "the token is refused")
    status = refused(ask(), 410, "Expired", "The provided continue parameter is too old")
    # The server offers to go on with what is now.
    token = status["metadata"]["continue"]
    rest = api.get(maps(own), limit=9, **{"continue": token})
    assert [each for each in names(rest) if each.startswith("m-")][-1] == "m-e"


def test_a_version_that_is_too_old(api: Client, own: str, server: Server) -> None:
    made = api.post(maps(own), configmap("m"))
    old = taken(api.send("GET", maps(own), resourceVersion=rv(made), resourceVersionMatch="Exact"))
    assert old["metadata"]["resourceVersion"] == rv(made)
    api.delete(maps(own, "m"))
    api.post(maps(own), configmap("n"))
    server.expire()

    def ask() -> Answer:
        return api.send("GET", maps(own), resourceVersion=rv(made), resourceVersionMatch="Exact")

    wait_for(lambda: ask().status != 200, SOON, "the version is refused")
    refused(ask(), 410, "Expired", "The resourceVersion for the provided list is too old")


def test_an_exact_version_shows_the_past(api: Client, own: str) -> None:
    made = api.post(maps(own), configmap("m", a="1"))
    api.patch(maps(own, "m"), {"data": {"a": "2"}})
    api.post(maps(own), configmap("n"))
    listed = api.get(maps(own), resourceVersion=rv(made), resourceVersionMatch="Exact", limit=500)
    assert {item["metadata"]["name"]: item["data"] for item in listed["items"] if item["metadata"]["name"] in "mn"} == {
        "m": {"a": "1"}
    }


@pytest.mark.parametrize("version", ["0", None], ids=["0", "none"])
def test_a_list_of_any_version_or_the_newest(api: Client, many: str, version: str | None) -> None:
    assert len(chosen(api, many, resourceVersion=version)["items"]) == TOTAL


def test_a_version_not_yet_reached(api: Client, ns: str) -> None:
    newest = int(api.get(maps(ns))["metadata"]["resourceVersion"])
    answer = api.send("GET", maps(ns), resourceVersion=str(newest + 1_000_000), timeout=20)
    status = refused(answer, 504, "Timeout", "Too large resource version: ")
    assert status["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"resourceVersion": "x"}, "resourceVersion"),
        ({"resourceVersionMatch": "Exact"}, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (
            {"resourceVersionMatch": "Some", "resourceVersion": "1"},
            'supported values: "Exact", "NotOlderThan"',
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        ({"limit": "x"}, 'parsing "x": invalid syntax'),
    ],
    ids=["version", "match alone", "match", "exactly 0", "limit"],
)
def test_options_that_make_no_sense(api: Client, ns: str, query: dict[str, str], words: str) -> None:
    answer = api.send("GET", maps(ns), **query)
    assert answer.status in (400, 422), answer.body
    assert words in answer.json()["message"]


def test_an_object_of_a_version(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name))
    assert api.get(maps(ns, name), resourceVersion="0") == made
    assert api.get(maps(ns, name), resourceVersion=rv(made)) == made


def test_a_version_at_least(api: Client, own: str) -> None:
    made = api.post(maps(own), configmap("m"))
    listed = api.get(maps(own), resourceVersion=rv(made), resourceVersionMatch="NotOlderThan")
    assert "m" in names(listed)
    assert int(listed["metadata"]["resourceVersion"]) >= int(rv(made))
