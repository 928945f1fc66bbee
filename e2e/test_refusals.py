"""What a namespace refuses shows on the job, in the server's words, and is asked about again with patience."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e.client import Object, core, group, wait_for
from e2e.gangs import lead, living, reaches, sound, waits
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.proxy import FaultProxy
from e2e.watcher import Watcher

pytestmark = [pytest.mark.real("LimitRanges, admission policies and Pod Security"), pytest.mark.usefixtures("kubelet")]
ADMISSION = "admissionregistration.k8s.io/v1"
QUIET_SECONDS = 8


@pytest.fixture
def denied(cluster: Cluster) -> Iterator[None]:
    """A policy of the cluster against pods with the label `deny`, in the test's namespace."""
    name = cluster.namespace
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    message = "pods with this label\x1b[2K are not wanted here"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "!('deny' in object.metadata.?labels.orValue({}))", "message": message}],
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}},
    }
    paths = {}
    for plural, what in (("validatingadmissionpolicies", spec), ("validatingadmissionpolicybindings", binding)):
        cluster.client.post(group(ADMISSION, plural), {"metadata": {"name": name}, "spec": what})
        paths[plural] = group(ADMISSION, plural, name=name)
    pod = {"metadata": {"name": "probe", "labels": {"deny": ""}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pods = core("pods", cluster.namespace)
    wait_for(lambda: cluster.client.send("POST", pods, pod, dryRun="All").status == 422, 30, "the policy is in force")
    yield
    for path in reversed(paths.values()):
        cluster.client.delete(path)


def calm(proxy: FaultProxy, *names: str) -> None:
    """For a while hardly anything is written about these jobs: no refusal is asked for again at once."""

    def writes(name: str) -> tuple[int, int]:
        posted = [s for s in list(proxy.seen) if s.method == "POST" and "/events" not in s.path]
        creates = sum(str((s.body or {}).get("metadata", {}).get("name")).startswith(f"{name}-") for s in posted)
        return creates, proxy.count("PATCH|PUT", rf"/trainingjobs/{name}/status")

    before = {name: writes(name) for name in names}
    time.sleep(QUIET_SECONDS)
    for name in names:
        creates, statuses = (now - then for now, then in zip(writes(name), before[name], strict=True))
        # One more start that is refused: the Service, the two pods sent beside it, the statuses of an attempt.
        assert creates <= 3, f"{creates} creates for {name}"
        assert statuses <= 5, f"{statuses} statuses of {name}"


@pytest.mark.usefixtures("denied")
def test_each_refusal_is_told_and_repeated_with_patience(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    client, namespace = cluster.client, cluster.namespace
    cluster.add_nodes(Racks(1, 8))
    limit = {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}}]}
    client.post(core("limitranges", namespace), {"metadata": {"name": "small"}, "spec": limit})
    proxy = cluster.start_proxy()
    process = lead(operator, proxy=proxy)
    cluster.submit(job("limited", [role(replicas=2, requests={"cpu": "4"})]))
    labelled = role(replicas=2)
    labelled["template"]["metadata"] = {"labels": {"deny": "me"}}
    cluster.submit(job("denied", [labelled]))
    limited = waits(cluster, "limited", "PolicyRefused")
    assert "maximum cpu usage per Container is 2, but limit is 4" in limited["message"]
    refused = waits(cluster, "denied", "PolicyRefused")
    assert r"pods with this label\x1b[2K are not wanted here" in refused["message"]
    for name in ("limited", "denied"):
        assert cluster.job(name)["status"].get("attempt", 0) == 0, "nothing was even begun"
    cluster.submit(job("good", [role(replicas=2)]))
    cluster.wait_phase("good", "Running")
    calm(proxy, "limited", "denied")
    # A word of the Event is the same.
    events = client.list(core("events", namespace), fieldSelector="involvedObject.name=denied")
    assert {event["reason"] for event in events} == {"PolicyRefused"}
    assert all(event["message"].isprintable() for event in events)
    # What is mended starts.
    client.delete(core("limitranges", namespace, "small"))
    cluster.wait_phase("limited", "Running", timeout=60)
    sound(process)
    watcher.quiet()


def test_what_is_refused_after_the_dry_run_backs_off(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    """The dry run asks about pods only, and before the namespace changes."""
    client, namespace = cluster.client, cluster.namespace
    cluster.add_nodes(Racks(1, 8))
    quota: Object = {"metadata": {"name": "no-services"}, "spec": {"hard": {"count/services": "0"}}}
    client.post(core("resourcequotas", namespace), quota)
    counted = core("resourcequotas", namespace, "no-services")
    wait_for(lambda: client.get(counted).get("status", {}).get("hard"), 20, "the quota is counted")
    proxy = cluster.start_proxy()
    process = lead(operator, proxy=proxy)
    cluster.submit(job("serviceless", [role(replicas=2)]))

    def told() -> str:
        status = cluster.job("serviceless").get("status") or {}
        return str((status.get("waiting") or {}).get("message", ""))

    wait_for(lambda: "exceeded quota: no-services" in told(), 30, "it says why", seen=told)
    calm(proxy, "serviceless")
    client.delete(counted)
    cluster.wait_phase("serviceless", "Running", timeout=90)

    # A gang that runs, in a namespace that then tightens: a lost pod cannot be made anew.
    cluster.submit(job("gang", [role(replicas=2)]))
    reaches(cluster, "gang", 1)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.patch(core("namespaces", name=namespace), {"metadata": {"labels": labels}})
    client.delete(core("pods", namespace, living(cluster, "gang")[0]["metadata"]["name"]))

    def refused() -> bool:
        status = cluster.job("gang").get("status") or {}
        waiting = status.get("waiting") or {}
        return status.get("phase") == "Pending" and 'violates PodSecurity "restricted' in waiting.get("message", "")

    wait_for(refused, 60, "it says why", seen=lambda: cluster.job("gang").get("status"))
    calm(proxy, "gang")
    assert not living(cluster, "gang")
    assert cluster.phase("serviceless") == "Running", "what runs goes on"
    sound(process)
    watcher.quiet()
