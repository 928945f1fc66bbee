"""What becomes of a pod on its way in, and what keeps it out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.client import Client, Object, core, group, wait_for
from tests.conformance.kit import DRY, STRICT, causes, job, jobs, maps, pod, pods, refused, taken

CLASSES = group("scheduling.k8s.io/v1", "priorityclasses")
RUNTIMES = group("node.k8s.io/v1", "runtimeclasses")


def resources(**amounts: Object) -> Object:
    return {"containers": [{"name": "main", "image": "none", "resources": amounts}]}


def of(made: Object) -> Object:
    found: Object = made["spec"]["containers"][0]["resources"]
    return found


# --- dry runs ---


def test_a_dry_run_shows_and_keeps_nothing(api: Client, ns: str, name: str) -> None:
    shown = taken(api.send("POST", pods(ns), pod(name), **DRY, **STRICT), 201)
    assert shown["metadata"]["uid"]
    assert "resourceVersion" not in shown["metadata"]
    assert shown["spec"]["tolerations"]
    assert api.find(pods(ns, name)) is None


def test_a_dry_run_of_a_generated_name(api: Client, ns: str) -> None:
    body = pod("x")
    body["metadata"] = {"generateName": "ask-"}
    assert taken(api.send("POST", pods(ns), body, **DRY), 201)["metadata"]["name"].startswith("ask-")


def test_dry_runs_of_change_and_deletion(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    shown = api.patch(jobs(ns, name), {"spec": {"suspend": True}}, **DRY)
    assert shown["spec"]["suspend"] is True
    assert taken(api.send("DELETE", jobs(ns, name), **DRY))
    assert api.get(jobs(ns, name)) == made


def test_a_dry_run_meets_what_exists(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    refused(api.send("POST", pods(ns), pod(name), **DRY), 409, "AlreadyExists")


def test_there_is_one_kind_of_dry_run(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name), dryRun="Some")
    refused(answer, 422, "Invalid", 'dryRun: Unsupported value: ["Some"]: supported values: "All"')


# --- what is added ---


def test_a_pod_gets_its_defaults(api: Client, ns: str, name: str) -> None:
    body = pod(name)
    del body["spec"]["restartPolicy"]
    spec = api.post(pods(ns), body)["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["serviceAccountName"] == "default"
    assert spec["enableServiceLinks"] is True
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert spec["securityContext"] == {}
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"


def test_a_pinned_tag_is_pulled_if_absent(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name, containers=[{"name": "main", "image": "example/trainer:1"}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_nodes_that_fail_are_tolerated_for_a_while(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name, tolerations=[{"operator": "Exists", "key": "nvidia.com/gpu"}]))
    found = made["spec"]["tolerations"]
    assert found[0] == {"key": "nvidia.com/gpu", "operator": "Exists"}
    assert found[1:] == [
        {"key": f"node.kubernetes.io/{each}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for each in ("not-ready", "unreachable")
    ]


def test_but_not_where_the_pod_says_how_long(api: Client, ns: str, name: str) -> None:
    own = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    found = api.post(pods(ns), pod(name, tolerations=[own]))["spec"]["tolerations"]
    assert [each["key"].rpartition("/")[2] for each in found] == ["unreachable", "not-ready"]
    assert found[0] == own
    everything = api.post(pods(ns), pod(f"{name}-all", tolerations=[{"operator": "Exists"}]))["spec"]["tolerations"]
    assert everything == [{"operator": "Exists"}]


def test_limits_become_requests_in_canonical_form(api: Client, ns: str, name: str) -> None:
    limits = {"nvidia.com/gpu": 4, "cpu": "0.5", "memory": "1024Mi"}
    made = of(api.post(pods(ns), pod(name, **resources(limits=limits, requests={"cpu": "0.25"}))))
    assert made["limits"] == {"nvidia.com/gpu": "4", "cpu": "500m", "memory": "1Gi"}
    assert made["requests"] == {"nvidia.com/gpu": "4", "cpu": "250m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("amounts", "field", "words"),
    [
        (
            {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"requests": {"nvidia.com/gpu": "2"}},
            "spec.containers[0].resources.limits",
            "Limit must be set for non overcommitable resources",
        ),
        (
            {"limits": {"nvidia.com/gpu": "0.5"}},
            "spec.containers[0].resources.limits[nvidia.com/gpu]",
            "must be an integer",
        ),
    ],
    ids=["requests above limits", "devices without limits", "half a device"],
)
def test_amounts_that_cannot_be(api: Client, ns: str, name: str, amounts: Object, field: str, words: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, **resources(**amounts)))
    status = refused(answer, 422, "Invalid", words)
    assert field in [each for each, _ in causes(status)]


def test_a_quantity_that_does_not_parse(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, **resources(limits={"cpu": "1 core"})))
    words = "cannot be handled as a Pod: quantities must match the regular expression"
    refused(answer, 400, "BadRequest", words)


def test_quality_of_service(api: Client, ns: str, name: str) -> None:
    whole = resources(limits={"cpu": "1", "memory": "1Gi"})
    assert api.post(pods(ns), pod(name))["status"]["qosClass"] == "BestEffort"
    assert api.post(pods(ns), pod(f"{name}-g", **whole))["status"]["qosClass"] == "Guaranteed"
    some = resources(requests={"cpu": "1"})
    assert api.post(pods(ns), pod(f"{name}-b", **some))["status"]["qosClass"] == "Burstable"


# --- what is refused ---


def test_misspelt_fields_of_a_pod(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, nodeselector={}))
    assert 'unknown field \\"spec.nodeselector\\"' in answer.headers["Warning"]
    assert "nodeselector" not in taken(answer, 201)["spec"]
    words = 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nodeselector"'
    refused(api.send("POST", pods(ns), pod(f"{name}-s", nodeselector={}), **STRICT), 400, "BadRequest", words)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "main"}]}, "spec.containers[0].image: Required value"),
        ({"containers": [{"image": "none"}]}, "spec.containers[0].name: Required value"),
        (
            {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
            'spec.containers[1].name: Duplicate value: "a"',
        ),
        (
            {"restartPolicy": "Some"},
            'spec.restartPolicy: Unsupported value: "Some": supported values: "Always", "OnFailure", "Never"',
        ),
        ({"hostname": "x" * 64}, "spec.hostname: Invalid value"),
        ({"terminationGracePeriodSeconds": -1}, None),
    ],
    ids=["no container", "no image", "no name", "name twice", "restartPolicy", "hostname", "grace"],
)
def test_pods_that_cannot_be(api: Client, ns: str, name: str, spec: Object, words: str | None) -> None:
    answer = api.send("POST", pods(ns), pod(name, **spec))
    if words is None:  # a negative grace is read as one second
        assert taken(answer, 201)["spec"]["terminationGracePeriodSeconds"] in (-1, 1)
    else:
        refused(answer, 422, "Invalid", f'Pod "{name}" is invalid: ', words)


def test_a_wrong_type(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, containers="none"))
    refused(answer, 400, "BadRequest", "cannot be handled as a Pod: json: cannot unmarshal string into Go struct field")


def test_a_service_account_must_exist(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, serviceAccountName="none"))
    words = f'pods "{name}" is forbidden: error looking up service account {ns}/none: serviceaccount "none" not found'
    refused(answer, 403, "Forbidden", words)


@pytest.mark.parametrize("where", ["configmaps", "pods", "trainingjobs"])
def test_a_namespace_must_exist(api: Client, name: str, where: str) -> None:
    path, body = {
        "configmaps": (maps("nowhere"), {"metadata": {"name": name}}),
        "pods": (pods("nowhere"), pod(name)),
        "trainingjobs": (jobs("nowhere"), job(name)),
    }[where]
    status = refused(api.send("POST", path, body), 404, "NotFound", 'namespaces "nowhere" not found')
    assert (status["details"]["kind"], status["details"]["name"]) == ("namespaces", "nowhere")


# --- PriorityClass ---


@pytest.fixture
def classes(api: Client, ns: str, name: str) -> Iterator[dict[str, str]]:
    """Two PriorityClasses of value 1000, by what they do to lower pods; in force."""
    made = {}
    for word, policy in (("never", "Never"), ("lower", "PreemptLowerPriority")):
        made[word] = f"{name}-{word}"
        api.post(CLASSES, {"metadata": {"name": made[word]}, "value": 1000, "preemptionPolicy": policy})
        ask = pod(f"{name}-ask", priorityClassName=made[word])
        # The server looks at its cache of them.
        wait_for(lambda body=ask: api.send("POST", pods(ns), body, **DRY).status == 201, 10, "it is known")  # type: ignore[misc]
    yield made
    for each in made.values():
        api.send("DELETE", f"{CLASSES}/{each}")


def test_the_class_gives_priority_and_policy(api: Client, ns: str, name: str, classes: dict[str, str]) -> None:
    spec = api.post(pods(ns), pod(name, priorityClassName=classes["never"]))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    spec = api.post(pods(ns), pod(f"{name}-l", priorityClassName=classes["lower"]))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "PreemptLowerPriority")


def test_a_pod_may_not_differ_from_its_class(api: Client, ns: str, name: str, classes: dict[str, str]) -> None:
    answer = api.send("POST", pods(ns), pod(name, priorityClassName=classes["lower"], preemptionPolicy="Never"))
    words = (
        f'pods "{name}" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; '
        "priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
    )
    refused(answer, 403, "Forbidden", words)
    answer = api.send("POST", pods(ns), pod(name, priorityClassName=classes["never"], priority=7))
    refused(answer, 403, "Forbidden", "the integer value of priority (7) must not be provided in pod spec")
    same = pod(name, priorityClassName=classes["never"], preemptionPolicy="Never", priority=1000)
    assert taken(api.send("POST", pods(ns), same), 201)


def test_a_class_must_exist(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, priorityClassName="none"))
    refused(answer, 403, "Forbidden", f'pods "{name}" is forbidden: no PriorityClass with name none was found')


def test_our_classes_never_preempt(api: Client) -> None:
    for each in ("muster-default", "muster-high"):
        assert api.get(f"{CLASSES}/{each}")["preemptionPolicy"] == "Never"


def test_a_class_does_not_change(api: Client, classes: dict[str, str]) -> None:
    path = f"{CLASSES}/{classes['never']}"
    made = api.get(path)
    refused(api.send("PUT", path, made | {"value": 5}), 422, "Invalid", "value: ")
    refused(api.send("PUT", path, made | {"preemptionPolicy": "PreemptLowerPriority"}), 422, "Invalid")


# --- RuntimeClass ---


@pytest.fixture
def runtime(api: Client, name: str) -> Iterator[str]:
    made = f"{name}-runtime"
    scheduling = {"nodeSelector": {"runtime": "yes"}, "tolerations": [{"key": "runtime", "operator": "Exists"}]}
    body = {"metadata": {"name": made}, "handler": "heavy", "overhead": {"podFixed": {"cpu": "0.25", "memory": "64Mi"}}}
    api.post(RUNTIMES, body | {"scheduling": scheduling})
    yield made
    api.send("DELETE", f"{RUNTIMES}/{made}")


def test_a_runtime_adds_overhead_selector_and_tolerations(api: Client, ns: str, name: str, runtime: str) -> None:
    body = pod(name, runtimeClassName=runtime, nodeSelector={"own": "yes"})
    spec = wait_for(lambda: api.send("POST", pods(ns), body, **DRY), 5, "an answer").json()["spec"]
    assert spec["overhead"] == {"cpu": "250m", "memory": "64Mi"}
    assert spec["nodeSelector"] == {"own": "yes", "runtime": "yes"}
    assert {"key": "runtime", "operator": "Exists"} in spec["tolerations"]


def test_a_runtime_must_exist(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, runtimeClassName="none"))
    refused(answer, 403, "Forbidden", f'pods "{name}" is forbidden: pod rejected: RuntimeClass "none" not found')


def test_overhead_comes_from_a_runtime_alone(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, overhead={"cpu": "1"}))
    words = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
    refused(answer, 403, "Forbidden", words)


def test_a_selector_against_that_of_the_runtime(api: Client, ns: str, name: str, runtime: str) -> None:
    body = pod(name, runtimeClassName=runtime, nodeSelector={"runtime": "no"})
    refused(api.send("POST", pods(ns), body), 403, "Forbidden", "conflict: runtimeClass.scheduling.nodeSelector")


# --- LimitRange ---


def test_a_limit_range_gives_defaults(api: Client, own: str) -> None:
    limits = [{"type": "Container", "defaultRequest": {"cpu": "100m"}, "default": {"cpu": "1", "memory": "1Gi"}}]
    api.post(core("limitranges", own), {"metadata": {"name": "given"}, "spec": {"limits": limits}})

    def ask(**amounts: Object) -> Object:
        return of(api.post(pods(own), pod("ask", **resources(**amounts)), **DRY))

    # The server looks at its cache of them.
    wait_for(lambda: ask().get("limits"), 10, "the limits are in force")
    assert ask() == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    assert ask(limits={"cpu": "2"}) == {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    api.delete(core("limitranges", own, "given"))
    # What it had to look up itself, because its cache was not there yet, it keeps for half a minute.
    wait_for(lambda: not ask().get("limits"), 45, "the limits are lifted")


def test_a_limit_range_refuses(api: Client, own: str) -> None:
    limits = [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]
    api.post(core("limitranges", own), {"metadata": {"name": "given"}, "spec": {"limits": limits}})

    def ask(cpu: str) -> int:
        return api.send("POST", pods(own), pod("ask", **resources(limits={"cpu": cpu})), **DRY).status

    wait_for(lambda: ask("4") == 403, 10, "the limits are in force")
    answer = api.send("POST", pods(own), pod("big", **resources(limits={"cpu": "4"})))
    words = 'pods "big" is forbidden: maximum cpu usage per Container is 2, but limit is 4'
    refused(answer, 403, "Forbidden", words)
    answer = api.send("POST", pods(own), pod("small", **resources(limits={"cpu": "500m"})))
    refused(answer, 403, "Forbidden", "minimum cpu usage per Container is 1, but request is 500m")
    assert ask("2") == 201


# --- ResourceQuota ---


def quota(api: Client, ns: str, **hard: str) -> str:
    """Make a quota and wait until it is counted; return its path."""
    api.post(core("resourcequotas", ns), {"metadata": {"name": "small"}, "spec": {"hard": hard}})
    path = core("resourcequotas", ns, "small")
    wait_for(lambda: api.get(path).get("status", {}).get("used"), 20, "the quota is counted")
    return path


def test_a_quota_is_counted_and_kept(api: Client, own: str) -> None:
    path = quota(api, own, pods="2", **{"requests.nvidia.com/gpu": "4"})
    status = api.get(path)["status"]
    assert status == {
        "hard": {"pods": "2", "requests.nvidia.com/gpu": "4"},
        "used": {"pods": "0", "requests.nvidia.com/gpu": "0"},
    }
    gpu = resources(limits={"nvidia.com/gpu": "4"})
    api.post(pods(own), pod("a", **gpu))
    assert api.get(path)["status"]["used"] == {"pods": "1", "requests.nvidia.com/gpu": "4"}
    words = (
        'pods "b" is forbidden: exceeded quota: small, requested: requests.nvidia.com/gpu=4, '
        "used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4"
    )
    refused(api.send("POST", pods(own), pod("b", **gpu)), 403, "Forbidden", words)
    api.post(pods(own), pod("c"))
    words = 'pods "d" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'
    refused(api.send("POST", pods(own), pod("d")), 403, "Forbidden", words)
    # Gated pods count, and what is deleted counts no more.
    api.delete(pods(own, "a"))
    wait_for(lambda: api.get(path)["status"]["used"]["pods"] == "1", 20, "the deletion is counted")
    assert taken(api.send("POST", pods(own), pod("b", **gpu)), 201)


def test_a_dry_run_meets_the_quota_and_uses_nothing(api: Client, own: str) -> None:
    path = quota(api, own, pods="1")
    assert api.send("POST", pods(own), pod("a"), **DRY).status == 201
    assert api.get(path)["status"]["used"] == {"pods": "0"}
    api.post(pods(own), pod("a"))
    refused(api.send("POST", pods(own), pod("b"), **DRY), 403, "Forbidden", "exceeded quota: small")


def test_what_a_quota_counts_must_be_said(api: Client, own: str) -> None:
    quota(api, own, **{"requests.cpu": "4"})
    words = 'pods "a" is forbidden: failed quota: small: must specify requests.cpu for: main'
    refused(api.send("POST", pods(own), pod("a")), 403, "Forbidden", words)


def test_finished_pods_do_not_count(api: Client, own: str) -> None:
    path = quota(api, own, pods="1")
    api.post(pods(own), pod("a", ()))
    api.patch(pods(own, "a", "status"), {"status": {"phase": "Succeeded"}})
    wait_for(lambda: api.get(path)["status"]["used"] == {"pods": "0"}, 20, "the end is counted")
    assert taken(api.send("POST", pods(own), pod("b")), 201)


def test_a_quota_of_objects(api: Client, own: str) -> None:
    def counted() -> bool:
        path = quota(api, own, **{"count/trainingjobs.muster.dev": "1", "services": "1"})
        if "count/trainingjobs.muster.dev" in api.get(path)["status"]["used"]:
            return True
        # The quota controller looks for new kinds every half minute, and then not at old quotas.
        api.delete(path)
        return False

    wait_for(counted, 90, "jobs are counted", pause=1.0)
    api.post(jobs(own), job("a"))
    answer = api.send("POST", jobs(own), job("b"))
    refused(answer, 403, "Forbidden", "exceeded quota: small, requested: count/trainingjobs.muster.dev=1")
