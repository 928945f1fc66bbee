"""Every set of values is linted, rendered, and taken by a real API server, strictly and without a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.chart.helm import CHART, NAMESPACE, SETS, helm, template
from e2e.client import PATCHES, Client, Object
from e2e.controlplane.cluster import ControlPlane
from e2e.harness import ROOT
from e2e.manifests import apply, path_of
from muster.api.crds import documents
from muster.settings import PREFIX, Settings

pytestmark = pytest.mark.real("the chart is put to the API server that it is for")
ON, OFF = CHART / "ci" / "all-on-values.yaml", CHART / "ci" / "all-off-values.yaml"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="module")
def server(controlplane: ControlPlane) -> ControlPlane:
    """With the namespaces that the sets name and stand-ins for the Prometheus operator's kinds."""
    wanted: list[Object] = list(yaml.safe_load_all((ROOT / "e2e" / "chart" / "monitoring.yaml").read_text()))
    for name in (NAMESPACE, "monitoring", "research", "production", "leases"):
        labels = RESTRICTED if name == NAMESPACE else {}
        wanted.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    # A pod is judged with the account that it names.
    for account in ("muster", "gang-operator", "muster-operator"):
        metadata = {"name": account, "namespace": NAMESPACE}
        wanted.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    apply(controlplane.client, wanted)
    return controlplane


def name(path: Path) -> str:
    return path.name.removesuffix("-values.yaml")


def dry_run(client: Client, each: Object) -> list[str]:
    """What a strict server says against an object; it is not stored."""
    path = path_of(client, each, NAMESPACE)
    parameters = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "e2e", "force": "true"}
    answer = client.send("PATCH", path, each, content_type=PATCHES["apply"], **parameters)
    said = [] if answer.status < 300 else [f"{answer.status}: {answer.body}"]
    if "Warning" in answer.headers:
        said.append(answer.headers["Warning"])
    return [f"{path}: {line}" for line in said]


def of(objects: list[Object], kind: str) -> Object:
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def container(objects: list[Object]) -> Any:
    return of(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def test_there_are_ten_sets() -> None:
    assert len(SETS) >= 10
    assert {ON, OFF} <= set(SETS)


@pytest.mark.parametrize("values", SETS, ids=name)
def test_helm_lint(values: Path, home: Path) -> None:
    helm("lint", "--strict", "--values", str(values), str(CHART), home=home)


@pytest.mark.parametrize("values", SETS, ids=name)
def test_the_api_server_takes_all_of_it(values: Path, home: Path, server: ControlPlane) -> None:
    objects = template(home, values=[values])
    assert [line for each in objects for line in dry_run(server.client, each)] == []


@pytest.mark.parametrize("values", SETS, ids=name)
def test_objects_can_be_told_apart_and_found(values: Path, home: Path, server: ControlPlane) -> None:
    objects = template(home, values=[values])
    paths = [path_of(server.client, each) for each in objects]
    assert len(set(paths)) == len(paths)
    for path, each in zip(paths, objects, strict=True):
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm", path
        assert ("/namespaces/" in path) == ("namespace" in each["metadata"]), f"{path}: says not where it belongs"


def test_a_misspelt_field_would_be_seen(home: Path, server: ControlPlane) -> None:
    deployment = of(template(home), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    assert "livenesProbe" in dry_run(server.client, deployment)[0]


def test_a_pod_that_is_not_restricted_would_be_seen(home: Path, server: ControlPlane) -> None:
    deployment = of(template(home), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert "allowPrivilegeEscalation" in dry_run(server.client, deployment)[0]


def test_all_off_is_the_operator_alone(home: Path) -> None:
    assert [each["kind"] for each in template(home, values=[OFF])] == ["Deployment"]


def test_all_on_sets_every_setting(home: Path) -> None:
    given = yaml.safe_load(ON.read_text())
    env = {each["name"]: each.get("value") for each in container(template(home, values=[ON]))["env"]}
    told = {key: value for key, value in env.items() if key.startswith(PREFIX)}
    settings = Settings(**{key.removeprefix(PREFIX).lower(): value for key, value in told.items()})  # type: ignore[arg-type]
    chart = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    assert set(given["settings"]) == set(chart), "all-on-values.yaml sets each setting"
    for key, value in given["settings"].items():
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
        assert getattr(settings, snake) == value
        # Without an election there is no lease to set.
        assert value != chart[key] or key == "leaderElect"
    assert settings.watch_namespaces == "research,production"


def test_settings_that_are_none_of_ours_to_set_are_the_operators_defaults(home: Path) -> None:
    env = {each["name"]: each.get("value") for each in container(template(home))["env"]}
    assert Settings(**{key.removeprefix(PREFIX).lower(): value for key, value in env.items()}) == Settings()  # type: ignore[arg-type]


@pytest.mark.parametrize("scheduler", ["default-scheduler", "bin-packer"])
def test_the_custom_resources_are_those_of_the_operator(scheduler: str, home: Path) -> None:
    objects = template(home, "--set", f"settings.schedulerName={scheduler}")
    rendered = {each["metadata"]["name"]: each for each in objects if each["kind"] == "CustomResourceDefinition"}
    own = [
        each for found in documents(scheduler).values() for each in found if each["kind"] == "CustomResourceDefinition"
    ]
    assert len(rendered) == len(own)
    for definition in own:
        found = rendered[definition["metadata"]["name"]]
        assert found["spec"] == definition["spec"]
        assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_what_selects_the_pods_selects_them(home: Path) -> None:
    objects = template(home, values=[CHART / "ci" / "prometheus-values.yaml"])
    labels = of(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = of(objects, "Service")
    selectors = [
        of(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        of(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    monitor = of(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    # The pod of `helm test` is under the network policy, and neither scraped nor counted.
    check = of(objects, "Pod")["metadata"]["labels"]
    assert [selector.items() <= check.items() for selector in selectors] == [False, False, False, True]


def test_probes_and_ports_are_those_of_the_settings(home: Path) -> None:
    pod = container(template(home, values=[ON]))
    assert {each["name"]: each["containerPort"] for each in pod["ports"]} == {"metrics": 9090, "probes": 9091}
    assert [pod[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")] == [
        9091
    ] * 3
    both = container(template(home, "--set", "settings.probeBindPort=8080"))
    assert [each["containerPort"] for each in both["ports"]] == [8080]


def test_alerts_are_those_of_the_file_under_the_release_s_name(home: Path) -> None:
    objects = template(home, values=[ON])
    file = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    (group,) = of(objects, "PrometheusRule")["spec"]["groups"]
    wanted = {rule["alert"]: rule for rule in file["groups"][0]["rules"]}
    del wanted["MusterFragmented"], wanted["MusterJobsStuck"]
    assert [rule["alert"] for rule in group["rules"]] == list(wanted)
    here = f'job="gang-scheduler-metrics",namespace="{NAMESPACE}"'
    for rule in group["rules"]:
        own = wanted[rule["alert"]]
        assert rule["expr"] == own["expr"].replace('job="muster-metrics"', here)
        assert here in rule["expr"]
        assert rule["labels"] == own["labels"] | {"team": "platform"}
        assert rule["annotations"] == own["annotations"]
    assert of(objects, "Service")["metadata"]["name"] == "gang-scheduler-metrics"


def test_the_user_can_be_left_to_the_platform(home: Path) -> None:
    pod = of(template(home, values=[CHART / "ci" / "openshift-values.yaml"]), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_leader_is_always_there_and_never_two_without_an_election(home: Path) -> None:
    strategy = of(template(home), "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    single = template(home, values=[CHART / "ci" / "single-values.yaml"])
    assert of(single, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert not any(each["kind"] == "PodDisruptionBudget" for each in single)
