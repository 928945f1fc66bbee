"""What label and field selectors choose, and which are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.client import Client, core, group
from tests.conformance.kit import bind, configmap, job, jobs, maps, names, pod, pods, refused


@pytest.fixture(scope="module")
def labelled(api: Client, namespaces: Callable[[str], str]) -> str:
    """ConfigMaps by their labels: a {tier: one}, b {tier: two, gpu: ""}, c {gpu: yes}, d {}."""
    ns = namespaces("labelled")
    for name, labels in (("a", {"tier": "one"}), ("b", {"tier": "two", "gpu": ""}), ("c", {"gpu": "yes"}), ("d", None)):
        api.post(maps(ns), configmap(name, labels))
    return ns


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=one", "a"),
        ("tier==one", "a"),
        ("tier!=one", "bcd"),
        ("tier", "ab"),
        ("!tier", "cd"),
        ("tier in (one,two)", "ab"),
        ("tier in ( one )", "a"),
        ("tier notin (one)", "bcd"),
        ("tier=two,gpu", "b"),
        ("tier, gpu in (,yes)", "b"),
        ("gpu=", "b"),
        ("!tier,!gpu", "d"),
        ("example.com/none=x", ""),
        ("", "abcd"),
    ],
)
def test_labels(api: Client, labelled: str, selector: str, found: str) -> None:
    listed = api.get(maps(labelled), labelSelector=selector)
    assert [each for each in names(listed) if each in "abcd"] == list(found)


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("tier in one", "unable to parse requirement: found 'one' expected: '('"),
        ("a b", "found 'b', expected:"),
        ("tier=a b", "found 'b', expected:"),
        ("=one", "found '=', expected: !, identifier, or 'end of string'"),
        (
            "tier=-x",
            'unable to parse requirement: values[0][tier]: Invalid value: "-x": a valid label must be',
        ),
        ("tier=a,", "found '', expected: identifier after ','"),
        ("tier,,gpu", "found ',', expected: identifier after ','"),
        ("tier!", "unable to parse requirement: found '!', expected: in, notin"),
        ("tier in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("tier=(", "unable to parse requirement: found '(', expected: identifier"),
        ("tier in ()", ""),
    ],
)
def test_labels_that_do_not_parse(api: Client, labelled: str, selector: str, words: str) -> None:
    answer = api.send("GET", maps(labelled), labelSelector=selector)
    if selector == "tier in ()":
        assert answer.status == 200  # an empty set holds the empty value
    else:
        refused(answer, 400, "BadRequest", words)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=a", "a"),
        ("metadata.name==a", "a"),
        ("metadata.name!=a", "bcd"),
        ("metadata.name=a,metadata.name=b", ""),
        ("metadata.name=none", ""),
    ],
)
def test_every_kind_selects_by_name(api: Client, labelled: str, selector: str, found: str) -> None:
    listed = api.get(maps(labelled), fieldSelector=selector)
    assert [each for each in names(listed) if each in "abcd"] == list(found)


def test_and_by_namespace(api: Client, labelled: str) -> None:
    listed = api.get(core("configmaps"), fieldSelector=f"metadata.namespace={labelled},metadata.name=a")
    assert [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in listed["items"]] == [(labelled, "a")]


def test_fields_and_labels_at_once(api: Client, labelled: str) -> None:
    assert names(api.get(maps(labelled), labelSelector="tier", fieldSelector="metadata.name!=a")) == ["b"]


@pytest.mark.parametrize("where", ["configmaps", "pods", "trainingjobs"])
def test_a_field_that_cannot_be_selected_by(api: Client, ns: str, where: str) -> None:
    path = {"configmaps": maps(ns), "pods": pods(ns), "trainingjobs": jobs(ns)}[where]
    answer = api.send("GET", path, fieldSelector="spec.nothing=x")
    words = {
        "configmaps": '"spec.nothing" is not a known field selector: only "metadata.name", "metadata.namespace"',
        "pods": "field label not supported: spec.nothing",
        "trainingjobs": "field label not supported: spec.nothing",
    }
    refused(answer, 400, "BadRequest", words[where])


def test_a_field_selector_that_does_not_parse(api: Client, ns: str) -> None:
    answer = api.send("GET", maps(ns), fieldSelector="metadata.name")
    refused(answer, 400, "BadRequest", "invalid selector: 'metadata.name'; can't understand 'metadata.name'")


def test_pods_select_by_node(api: Client, ns: str, name: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": name}})
    api.post(pods(ns), pod(f"{name}-bound", ()))
    api.post(pods(ns), pod(f"{name}-gated"))
    assert bind(api, ns, f"{name}-bound", name).status == 201
    assert names(api.get(pods(ns), fieldSelector=f"spec.nodeName={name}")) == [f"{name}-bound"]
    bound = names(api.get(pods(ns), fieldSelector="spec.nodeName!="))
    assert f"{name}-bound" in bound
    assert f"{name}-gated" not in bound
    assert f"{name}-gated" in names(api.get(pods(ns), fieldSelector="spec.nodeName="))
    api.delete(pods(ns, f"{name}-bound"), grace=0)
    api.delete(core("nodes", name=name))


def test_pods_select_by_phase_and_scheduler(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name, ()))
    api.patch(pods(ns, name, "status"), {"status": {"phase": "Failed"}})
    api.post(pods(ns), pod(f"{name}-other"))
    assert names(api.get(pods(ns), fieldSelector="status.phase=Failed")) == [name]
    assert names(api.get(pods(ns), fieldSelector="spec.schedulerName=nobody,status.phase!=Pending")) == [name]


def test_nodes_select_by_being_schedulable(api: Client, name: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": name}, "spec": {"unschedulable": True}})
    assert name in names(api.get(core("nodes"), fieldSelector="spec.unschedulable=true"))
    assert name not in names(api.get(core("nodes"), fieldSelector="spec.unschedulable=false"))
    api.delete(core("nodes", name=name))


def test_jobs_select_by_phase_and_life(api: Client, own: str) -> None:
    for each in ("a", "b", "c"):
        api.post(jobs(own), job(each))
    api.patch(jobs(own, "a", "status"), {"status": {"phase": "Running", "live": True}})
    api.patch(jobs(own, "b", "status"), {"status": {"phase": "Failed", "live": False}})
    assert names(api.get(jobs(own), fieldSelector="status.live=true")) == ["a"]
    assert names(api.get(jobs(own), fieldSelector="status.live!=true")) == ["b", "c"]
    assert names(api.get(jobs(own), fieldSelector="status.phase=Pending")) == ["c"]
    assert names(api.get(jobs(own), fieldSelector="status.phase!=Pending,status.live=false")) == ["b"]
    listed = api.get(
        "/apis/muster.dev/v1alpha1/trainingjobs", fieldSelector=f"status.live=true,metadata.namespace={own}"
    )
    assert names(listed) == ["a"]


def test_pages_of_what_is_selected(api: Client, own: str) -> None:
    """The consistent view that Starting waits for."""
    for number in range(6):
        api.post(jobs(own), job(f"j{number}"))
        api.patch(jobs(own, f"j{number}", "status"), {"status": {"live": number % 2 == 0}})
    first = api.get(jobs(own), fieldSelector="status.live=true", limit=2)
    assert names(first) == ["j0", "j2"]
    api.patch(jobs(own, "j4", "status"), {"status": {"live": False}})
    token = first["metadata"]["continue"]
    rest = api.get(jobs(own), fieldSelector="status.live=true", limit=2, **{"continue": token})
    assert names(rest) == ["j4"]
    assert rest["items"][0]["status"]["live"] is True


def test_events_select_by_their_object(api: Client, ns: str, name: str) -> None:
    for suffix, kind in (("a", "Pod"), ("b", "TrainingJob")):
        involved = {"kind": kind, "name": name, "namespace": ns, "uid": f"uid-{suffix}"}
        body = {"metadata": {"name": f"{name}.{suffix}"}, "involvedObject": involved, "reason": "R", "type": "Normal"}
        api.post(core("events", ns), body)
    selector = f"involvedObject.name={name},involvedObject.kind=TrainingJob"
    assert names(api.get(core("events", ns), fieldSelector=selector)) == [f"{name}.b"]
    assert names(api.get(core("events", ns), fieldSelector="involvedObject.uid=uid-a")) == [f"{name}.a"]
    assert names(api.get(core("events", ns), fieldSelector=f"type=Normal,reason=R,involvedObject.name={name}"))


def test_a_single_object_takes_no_selector(api: Client, ns: str, name: str) -> None:
    made = api.post(group("coordination.k8s.io/v1", "leases", ns), {"metadata": {"name": name}, "spec": {}})
    assert api.get(group("coordination.k8s.io/v1", "leases", ns, name), labelSelector="none=x") == made
