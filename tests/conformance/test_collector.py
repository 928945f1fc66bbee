"""The garbage collector, by ownerReferences, in its three ways; and the end of a namespace.

Everything here happens a while after the request, so each test waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.client import Client, Object, core, wait_for
from tests.conformance.kit import configmap, delete, job, jobs, maps, owned, pod, pods, refused, rv, taken, uid

SOON = 60.0
"""Seconds. In a young control plane the collector does not know our kind yet: it looks for new ones every 30 s."""


def gone(api: Client, *paths: str) -> None:
    wait_for(lambda: not any(api.find(path) for path in paths), SOON, f"{paths} are gone")


@pytest.fixture
def family(api: Client, ns: str, name: str) -> Object:
    """A job that owns a gated pod and a Service."""
    made = api.post(jobs(ns), job(name))
    api.post(pods(ns), owned(pod(name), made, block=True))
    service = {"metadata": {"name": name}, "spec": {"clusterIP": "None"}}
    api.post(core("services", ns), owned(service, made, block=True))
    return made


def test_in_the_background_the_children_follow(api: Client, ns: str, name: str, family: Object) -> None:
    taken(delete(api, jobs(ns, name), propagationPolicy="Background"))
    assert api.find(jobs(ns, name)) is None
    gone(api, pods(ns, name), core("services", ns, name))


def test_that_is_what_happens_unasked(api: Client, ns: str, name: str, family: Object) -> None:
    taken(api.send("DELETE", jobs(ns, name)))
    gone(api, jobs(ns, name), pods(ns, name), core("services", ns, name))


def test_in_the_foreground_the_owner_goes_last(api: Client, ns: str, name: str) -> None:
    owner = api.post(jobs(ns), job(name))
    held = owned(configmap(name), owner, block=True)
    held["metadata"]["finalizers"] = ["example.com/wait"]
    api.post(maps(ns), held)
    going = taken(delete(api, jobs(ns, name), propagationPolicy="Foreground"))
    assert going["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert going["metadata"]["deletionTimestamp"]

    def child_is_going() -> bool:
        return "deletionTimestamp" in api.get(maps(ns, name))["metadata"]

    wait_for(child_is_going, SOON, "the child is being deleted")
    assert api.find(jobs(ns, name))
    api.patch(maps(ns, name), {"metadata": {"finalizers": None}})
    gone(api, maps(ns, name), jobs(ns, name))


def test_who_does_not_block_is_not_waited_for(api: Client, ns: str, name: str) -> None:
    owner = api.post(jobs(ns), job(name))
    held = owned(configmap(name), owner, block=False)
    held["metadata"]["finalizers"] = ["example.com/wait"]
    api.post(maps(ns), held)
    taken(delete(api, jobs(ns, name), propagationPolicy="Foreground"))
    gone(api, jobs(ns, name))
    api.patch(maps(ns, name), {"metadata": {"finalizers": None}})
    gone(api, maps(ns, name))


def test_orphans_stay_and_name_no_owner(api: Client, ns: str, name: str, family: Object) -> None:
    going = taken(delete(api, jobs(ns, name), propagationPolicy="Orphan"))
    assert going["metadata"]["finalizers"] == ["orphan"]
    gone(api, jobs(ns, name))
    for path in (pods(ns, name), core("services", ns, name)):
        wait_for(lambda p=path: "ownerReferences" not in api.get(p)["metadata"], SOON, "it is let go")  # type: ignore[misc]
        assert "deletionTimestamp" not in api.get(path)["metadata"]
        delete(api, path)


def test_a_child_of_nobody_goes(api: Client, ns: str, name: str) -> None:
    owner = api.post(jobs(ns), job(name))
    api.delete(jobs(ns, name))
    api.post(maps(ns), owned(configmap(name), owner))
    gone(api, maps(ns, name))


def test_an_owner_of_the_same_name_is_another(api: Client, ns: str, name: str) -> None:
    old = api.post(jobs(ns), job(name))
    api.post(maps(ns), owned(configmap(f"{name}-old"), old))
    api.delete(jobs(ns, name))
    new = api.post(jobs(ns), job(name))
    api.post(maps(ns), owned(configmap(f"{name}-new"), new))
    gone(api, maps(ns, f"{name}-old"))
    assert api.find(maps(ns, f"{name}-new"))


def test_with_two_owners_the_last_one_counts(api: Client, ns: str, name: str) -> None:
    first, second = api.post(maps(ns), configmap(f"{name}-1")), api.post(maps(ns), configmap(f"{name}-2"))
    child = owned(configmap(name), first, controller=False)
    more = owned(configmap(name), second, controller=False)["metadata"]["ownerReferences"]
    child["metadata"]["ownerReferences"] += more
    api.post(maps(ns), child)
    api.delete(maps(ns, f"{name}-1"))
    # The reference that points nowhere is taken out.
    wait_for(
        lambda: [each["uid"] for each in api.get(maps(ns, name))["metadata"]["ownerReferences"]] == [uid(second)],
        SOON,
        "one owner is left",
    )
    api.delete(maps(ns, f"{name}-2"))
    gone(api, maps(ns, name))


def test_grandchildren_go_too(api: Client, ns: str, name: str) -> None:
    top = api.post(jobs(ns), job(name))
    middle = api.post(maps(ns), owned(configmap(f"{name}-1"), top))
    api.post(maps(ns), owned(configmap(f"{name}-2"), middle))
    api.delete(jobs(ns, name))
    gone(api, maps(ns, f"{name}-1"), maps(ns, f"{name}-2"))


def test_a_bound_child_gets_its_grace(api: Client, ns: str, name: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": name}})
    owner = api.post(jobs(ns), job(name))
    api.post(pods(ns), owned(pod(name, (), nodeName=name), owner))
    api.delete(jobs(ns, name))
    wait_for(lambda: "deletionTimestamp" in api.get(pods(ns, name))["metadata"], SOON, "the pod is told to end")
    assert api.get(pods(ns, name))["metadata"]["deletionGracePeriodSeconds"] == 30
    delete(api, pods(ns, name), gracePeriodSeconds=0)
    api.delete(core("nodes", name=name))


# --- namespaces ---


def test_a_namespace_is_active_and_labelled(api: Client, own: str) -> None:
    found = api.get(core("namespaces", name=own))
    assert found["status"] == {"phase": "Active"}
    assert found["metadata"]["labels"]["kubernetes.io/metadata.name"] == own
    assert found["spec"] == {"finalizers": ["kubernetes"]}


def test_a_namespace_ends_with_all_that_is_in_it(api: Client, namespaces: Callable[[str], str]) -> None:
    ns = namespaces("ending")
    held = configmap("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    api.post(maps(ns), held)
    api.post(pods(ns), pod("p"))
    api.post(jobs(ns), job("j"))
    going = taken(delete(api, core("namespaces", name=ns)))
    assert going["kind"] == "Namespace"
    assert going["status"]["phase"] == "Terminating"
    assert going["metadata"]["deletionTimestamp"]
    words = "because it is being terminated"
    for path, body, what in (
        (maps(ns), configmap("late"), 'configmaps "late" is forbidden: unable to create new content in namespace '),
        (pods(ns), pod("late"), 'pods "late" is forbidden: unable to create new content in namespace '),
        (jobs(ns), job("late"), 'trainingjobs.muster.dev "late" is forbidden: unable to create new content'),
    ):
        status = refused(api.send("POST", path, body), 403, "Forbidden", what, words)
        assert ("NamespaceTerminating", "metadata.namespace") in [
            (each["reason"], each["field"]) for each in status["details"]["causes"]
        ]
    gone(api, pods(ns, "p"), jobs(ns, "j"))
    # What exists can still be changed.
    changed = api.patch(maps(ns, "held"), {"data": {"a": "1"}})
    assert int(rv(changed)) > 0
    assert api.find(core("namespaces", name=ns))
    api.patch(maps(ns, "held"), {"metadata": {"finalizers": None}})
    gone(api, core("namespaces", name=ns))
    assert api.get(maps(ns))["items"] == []


def test_some_namespaces_stay(api: Client) -> None:
    answer = delete(api, core("namespaces", name="default"))
    refused(answer, 403, "Forbidden", 'namespaces "default" is forbidden: this namespace may not be deleted')


def test_the_first_namespaces_exist(api: Client) -> None:
    found = {item["metadata"]["name"] for item in api.list(core("namespaces"))}
    assert {"default", "kube-system"} <= found
