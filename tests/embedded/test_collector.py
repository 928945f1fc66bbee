"""Garbage collection and the other controllers inside, step by step."""

from __future__ import annotations

import pytest
from tests.embedded.talk import MAPS, PODS, Talk, configmap, owned, pod

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
MANY = 1_200
"""More than one batch."""


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_dependents_go_later_with_their_owner(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    child = talk.post(MAPS, owned(configmap("child"), owner))
    talk.post(MAPS, owned(configmap("grandchild"), child))
    talk.call("DELETE", f"{MAPS}/owner")
    assert talk.names(MAPS) == ["child", "grandchild"]
    assert talk.server.pending
    talk.settle()
    assert talk.names(MAPS) == []


def test_the_foreground_waits_for_those_that_block(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    talk.post(MAPS, owned(configmap("blocks"), owner, block=True))
    talk.merge(f"{MAPS}/blocks", {"metadata": {"finalizers": ["example.com/hold"]}})
    talk.post(MAPS, owned(configmap("free"), owner))
    talk.call("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Foreground"})
    talk.settle()
    assert talk.names(MAPS) == ["blocks", "owner"]
    talk.merge(f"{MAPS}/blocks", {"metadata": {"finalizers": None}})
    talk.settle()
    assert talk.names(MAPS) == []


def test_orphans_are_left(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    talk.post(MAPS, owned(configmap("child"), owner))
    talk.call("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
    talk.settle()
    assert talk.names(MAPS) == ["child"]
    assert "ownerReferences" not in talk.get(f"{MAPS}/child")["metadata"]


def test_one_owner_is_enough_to_stay(talk: Talk) -> None:
    first, second = talk.post(MAPS, configmap("first")), talk.post(MAPS, configmap("second"))
    child = owned(configmap("child"), first)
    child["metadata"]["ownerReferences"] += owned(configmap("x"), second)["metadata"]["ownerReferences"]
    talk.post(MAPS, child)
    talk.call("DELETE", f"{MAPS}/first")
    talk.settle()
    left = talk.get(f"{MAPS}/child")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in left] == ["second"]
    talk.call("DELETE", f"{MAPS}/second")
    talk.settle()
    assert talk.names(MAPS) == []


@pytest.mark.parametrize("change", [{"uid": "another"}, {"name": "another"}], ids=["uid", "name"])
def test_an_owner_that_is_not_there_owns_nothing(talk: Talk, change: dict[str, str]) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    child = owned(configmap("child"), owner)
    child["metadata"]["ownerReferences"][0] |= change
    talk.post(MAPS, child)
    talk.settle()
    assert talk.names(MAPS) == ["owner"]


def test_bound_pods_get_their_grace(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    talk.post(PODS, owned(pod("bound"), owner))
    talk.post(f"{PODS}/bound/binding", {"target": {"kind": "Node", "name": "n"}})
    talk.post(PODS, owned(pod("unbound"), owner))
    talk.call("DELETE", f"{MAPS}/owner")
    talk.settle()
    assert talk.names(PODS) == ["bound"]
    assert talk.get(f"{PODS}/bound")["metadata"]["deletionGracePeriodSeconds"] == 30


def test_many_dependents_take_more_than_one_turn(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    for number in range(MANY):
        talk.post(MAPS, owned(configmap(f"c{number}"), owner))
    talk.settle()
    talk.call("DELETE", f"{MAPS}/owner")
    talk.server.tick()
    assert 0 < len(talk.names(MAPS)) < MANY
    talk.settle()
    assert talk.names(MAPS) == []


def test_it_can_be_held(talk: Talk) -> None:
    owner = talk.post(MAPS, configmap("owner"))
    talk.post(MAPS, owned(configmap("child"), owner))
    talk.server.pause_collector(True)
    talk.call("DELETE", f"{MAPS}/owner")
    talk.settle()
    assert talk.names(MAPS) == ["child"]
    talk.server.pause_collector(False)
    talk.settle()
    assert talk.names(MAPS) == []


def test_a_namespace_goes_with_all_that_is_in_it(talk: Talk) -> None:
    talk.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    talk.settle()
    inside = "/api/v1/namespaces/other"
    assert talk.names(f"{inside}/serviceaccounts") == ["default"]
    held = configmap("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    talk.post(f"{inside}/configmaps", held)
    talk.post(f"{inside}/pods", pod("p"))
    assert talk.call("DELETE", inside)["status"]["phase"] == "Terminating"
    talk.settle()
    assert talk.names(f"{inside}/pods") == []
    assert talk.get(inside)["status"]["phase"] == "Terminating"
    talk.refused(403, "POST", f"{inside}/configmaps", configmap("late"))
    talk.merge(f"{inside}/configmaps/held", {"metadata": {"finalizers": None}})
    talk.settle()
    talk.refused(404, "GET", inside)


def used(talk: Talk) -> dict[str, str]:
    talk.settle()
    found: dict[str, str] = talk.get(f"{QUOTAS}/q")["status"]["used"]
    return found


def test_quota_is_counted_reserved_and_freed(talk: Talk) -> None:
    asks = {"containers": [{"name": "main", "image": "none", "resources": {"requests": {"cpu": "500m"}}}]}
    talk.post(PODS, pod("before", **asks))
    talk.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3", "requests.cpu": "1"}}})
    assert used(talk) == {"pods": "1", "requests.cpu": "500m"}
    talk.post(PODS, pod("second", **asks))
    assert used(talk) == {"pods": "2", "requests.cpu": "1"}
    status = talk.refused(403, "POST", PODS, pod("third", **asks))
    assert (
        "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=1, limited: requests.cpu=1"
        in status["message"]
    )
    talk.call(
        "PATCH",
        f"{PODS}/second/status",
        {"status": {"phase": "Succeeded"}},
        content_type="application/merge-patch+json",
    )
    assert used(talk) == {"pods": "1", "requests.cpu": "500m"}
    talk.call("DELETE", f"{PODS}/second")
    talk.call("DELETE", f"{PODS}/before")
    assert used(talk) == {"pods": "0", "requests.cpu": "0"}
    # A dry run reserves nothing.
    talk.post(PODS, pod("third", **asks), dryRun="All")
    assert used(talk) == {"pods": "0", "requests.cpu": "0"}
