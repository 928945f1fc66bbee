"""parse_job and its helpers: never an exception, defaults as the API server sets them, all errors at once."""

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.examples import FULL, Manifest, job, role, topology

from muster.api import ClusterTopology, FieldError, TrainingJob, check_job_update, parse_job, parse_topology
from muster.api.derive_podtemplate import derive

STATUS: Manifest = {
    "observedGeneration": 3,
    "phase": "Running",
    "conditions": [
        {"type": "Placed", "status": "True", "lastTransitionTime": "2026-01-31T12:00:00Z", "reason": "Placed"}
    ],
    "summary": {"running": "128/128", "where": "8/8 nvlink, 2/1 leaf"},
    "attempt": 2,
    "restarts": 3,
    "live": True,
    "waiting": {"reason": "Fragmented", "message": "m", "since": "2026-01-31T12:00:00Z", "details": {"racks": [1, 2]}},
    "placement": {
        "attempt": 2,
        "gangAttempt": 1,
        "term": "123",
        "objective": {"cost": 12},
        "domains": {"nvlink": 8, "leaf": 2},
        "roles": [{"name": "worker", "nodes": "a[0-127]", "born": "1x128"}],
    },
    "roles": [{"name": "worker", "pods": 128, "running": 128, "succeeded": 0, "failed": 0}],
    "lastFailure": {"reason": "Exit", "failures": [{"role": "worker", "rank": 0, "node": "a0", "exitCode": 1}]},
    "blamed": [{"node": "a1", "count": 1}],
}


def parsed(manifest: Manifest, **options: Any) -> TrainingJob:
    found = parse_job(manifest, **options)
    assert isinstance(found, TrainingJob)
    return found


def refused(manifest: Any, **options: Any) -> list[FieldError]:
    found = parse_job(manifest, **options)
    assert isinstance(found, list)
    return found


def test_defaults_are_those_of_the_contract() -> None:
    spec = parsed(job()).spec
    assert (spec.suspend, spec.launcher, spec.priority_class_name) == (False, "none", "muster-default")
    assert (spec.backoff.base_seconds, spec.backoff.max_seconds) == (5, 300)
    assert (spec.bind_timeout_seconds, spec.start_timeout_seconds) == (30, 1800)
    assert (spec.active_deadline_seconds, spec.ttl_seconds_after_finished) == (None, None)
    assert (spec.pod_retention.failed_attempts, spec.pod_retention.pods_per_attempt) == (2, 8)
    assert (spec.success_policy.roles, spec.success_policy.when) == (None, "AllPods")
    assert spec.success_policy.linger_seconds == 300


def test_topology_defaults_are_those_of_the_contract() -> None:
    found = parse_topology(topology())
    assert isinstance(found, ClusterTopology)
    assert found.spec.preset == "Auto"
    assert found.spec.accelerator_resources == ["nvidia.com/gpu", "amd.com/gpu"]
    assert found.spec.pod_defaults.shared_memory == "Memory"
    assert [entry["key"] for entry in found.spec.pod_defaults.tolerations] == ["nvidia.com/gpu", "kubernetes.io/arch"]


def test_template_is_kept_as_it_was_written() -> None:
    written = {"metadata": {"labels": {"team": "a"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    assert parsed(job(role() | {"template": written})).spec.roles[0].template == written


def test_all_errors_are_told_at_once_with_their_paths() -> None:
    found = refused(job(role(replicas=0), role("b", 0), lancher="env"))
    assert {error.path for error in found} == {"spec.roles[0].replicas", "spec.roles[1].replicas", "spec.lancher"}


def test_unknown_field_names_the_one_that_is_meant() -> None:
    (error,) = refused(job(lancher="env"))
    assert str(error) == 'spec.lancher: unknown field "spec.lancher"; is "launcher" meant?'


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        pytest.param(None, "", id="nothing"),
        pytest.param([], "", id="a list"),
        pytest.param({}, "apiVersion", id="empty"),
        pytest.param(job() | {"kind": "Job"}, "kind", id="other kind"),
        pytest.param(job() | {"apiVersion": "muster.dev/v1"}, "apiVersion", id="other version"),
        pytest.param(job() | {"metadata": {}}, "metadata.name", id="no name"),
        pytest.param(
            job() | {"metadata": {"name": "a", "labels": {"b": 1}}}, "metadata.labels.b", id="label of a number"
        ),
    ],
)
def test_what_is_no_training_job(manifest: Any, path: str) -> None:
    assert path in [error.path for error in refused(manifest)]


def test_generated_name_counts_with_its_suffix() -> None:
    assert isinstance(parse_job(job(role("ab")) | {"metadata": {"generateName": "a" * 35}}), TrainingJob)
    (error,) = refused(job(role("a")) | {"metadata": {"generateName": "a" * 36}})
    assert "at most 40 characters" in error.message


def test_configured_scheduler_may_be_named() -> None:
    named = job(role(pod={"schedulerName": "second"}))
    assert isinstance(parse_job(named, scheduler_name="second"), TrainingJob)
    assert "must be third" in refused(named, scheduler_name="third")[0].message


def test_spec_is_at_most_256_kib() -> None:
    big = job(role(pod={"containers": [{"name": "a", "args": ["x" * 100_000] * 3}]}))
    (error,) = refused(big)
    assert "more than 262144" in error.message


def test_admitted_object_is_read_whole() -> None:
    found = parsed({**FULL, "status": STATUS}, admitted=True)
    assert found.status.model_dump(by_alias=True, exclude_unset=True) == STATUS


def test_status_passes_the_schema() -> None:
    assert parsed({**FULL, "status": STATUS}).status.phase == "Running"


def test_change_without_status_is_free() -> None:
    changed = copy.deepcopy(FULL)
    changed["spec"]["launcher"] = "env"
    assert check_job_update(FULL, changed) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = [place for place in places(FULL) if place]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), JSON, st.booleans())
def test_whatever_stands_in_a_field_nothing_is_raised(place: tuple[Any, ...], value: Any, admitted: bool) -> None:
    manifest = copy.deepcopy(FULL)
    node: Any = manifest
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    found = parse_job(manifest, admitted=admitted)
    assert isinstance(found, TrainingJob) or (found and all(str(error) for error in found))


def test_derivation_inlines_bounds_and_strips() -> None:
    quantity = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}
    core = "io.k8s.api.core.v1."
    schemas = {
        f"{core}PodTemplateSpec": {
            "type": "object",
            "description": "D",
            "properties": {"spec": {"allOf": [{"$ref": f"#/components/schemas/{core}PodSpec"}], "default": {}}},
        },
        f"{core}PodSpec": {
            "type": "object",
            "properties": {
                "containers": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "x-kubernetes-patch-merge-key": "name",
                    "items": {"$ref": f"#/components/schemas/{core}Container"},
                },
                "tolerations": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name", "protocol"],
                    "items": {"$ref": f"#/components/schemas/{core}Container"},
                },
            },
        },
        f"{core}Container": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "protocol": {"type": "string", "default": "TCP"},
                "cpu": quantity,
            },
        },
    }
    spec = derive({"components": {"schemas": schemas}})["properties"]["spec"]
    containers = spec["properties"]["containers"]
    assert "default" not in spec
    assert "x-kubernetes-patch-merge-key" not in containers
    assert (containers["minItems"], containers["maxItems"]) == (1, 16)
    assert containers["items"]["required"] == ["name"]
    assert "default" not in containers["items"]["properties"]["protocol"]
    keyed_by_a_default = spec["properties"]["tolerations"]
    assert keyed_by_a_default["x-kubernetes-list-type"] == "atomic"
    assert "x-kubernetes-list-map-keys" not in keyed_by_a_default
    assert containers["items"]["properties"]["cpu"]["x-kubernetes-int-or-string"] is True
    assert "description" not in json.dumps(spec)


def test_room_imports_no_client_and_no_other_room() -> None:
    code = "import sys, muster.api.crds; print([m for m in sys.modules if m.split('.')[0] in ('kopf', 'kubernetes', "
    code += "'msgspec') or m.startswith('muster.') and not m.startswith('muster.api')])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
