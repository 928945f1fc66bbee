"""The files under crds/ are what the models generate, and the models hold what api.md promises of the API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.api.clustertopology import ClusterTopology
from muster.api.crds import documents, render
from muster.api.job_rules import RESERVED, job_rules
from muster.api.podtemplate import ALLOWED, REFUSED, pod_spec_fields
from muster.api.schema import structural
from muster.api.structural import check, fill
from muster.api.topology_rules import TOPOLOGY_RULES
from muster.api.trainingjob import TrainingJob

CRDS = Path(__file__).parents[2] / "crds"
# kubectl apply keeps the whole object in an annotation, and annotations take 256 KiB.
MAX_CRD_BYTES = 200_000
TEMPLATE = ".spec.roles[].template"
Schema = dict[str, Any]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


SCHEMAS = [structural(TrainingJob), structural(ClusterTopology)]


def crd(plural: str) -> Schema:
    (found,) = documents()[f"{plural}.yaml"]
    return found


def version(plural: str) -> Schema:
    found: Schema = crd(plural)["spec"]["versions"][0]
    return found


def test_files_are_what_the_models_generate() -> None:
    written = {path.name: path.read_text() for path in CRDS.glob("*.yaml")}
    assert written == render(), "run `python -m muster.api.crds` at the root of the repository"


def test_yaml_reads_back_as_the_documents() -> None:
    assert {name: list(yaml.safe_load_all(text)) for name, text in render().items()} == documents()


def test_no_crd_outgrows_what_kubectl_apply_takes() -> None:
    for found in documents().values():
        assert len(yaml.safe_dump(found, default_flow_style=True, width=10**9)) < MAX_CRD_BYTES


def test_every_list_string_and_map_is_bounded() -> None:
    bound = {"string": "maxLength", "array": "maxItems"}
    for path, node in (found for schema in SCHEMAS for found in nodes(schema)):
        kind = node.get("type")
        if path in ("", ".apiVersion", ".kind") or "enum" in node:
            continue
        assert kind not in bound or bound[kind] in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


def test_every_field_of_ours_is_described() -> None:
    for schema in SCHEMAS:
        for path, node in nodes(schema):
            if TEMPLATE in path:
                continue
            if path.startswith((".metadata", ".spec.podDefaults.tolerations[]", ".spec.podDefaults.env[]")):
                continue
            for name, part in node.get("properties", {}).items():
                if name != "metadata":
                    assert part.get("description"), f"{path}.{name}"


def test_described_default_is_the_default() -> None:
    for schema in SCHEMAS:
        for path, node in nodes(schema["properties"]["spec"]):
            default = node.get("default")
            if isinstance(default, str | int) and TEMPLATE not in f".spec{path}":
                text = str(default).lower() if isinstance(default, bool) else str(default)
                assert f"Default {text}" in node["description"], path


def test_every_default_fits_its_schema() -> None:
    for schema in SCHEMAS:
        for path, node in nodes(schema):
            if "default" in node:
                assert list(check(node, fill(node, node["default"]))) == [], path


def test_status_default_is_what_readers_of_kstatus_need() -> None:
    status = version("trainingjobs")["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1, "phase": "Pending"}


def test_nothing_else_in_a_status_has_a_default() -> None:
    # The operator compares what it sent with what it reads back.
    for schema in SCHEMAS:
        found = {path for path, node in nodes(schema["properties"]["status"]) if "default" in node}
        assert found <= {"", ".observedGeneration", ".phase"}


def test_nothing_within_a_list_has_a_default() -> None:
    # Argo CD and kubectl compare the lists of a custom resource as a whole: a default there is drift for ever.
    for schema in SCHEMAS:
        assert [path for path, node in nodes(schema) if "[]" in path and "default" in node] == []


def test_live_and_phase_are_selectable() -> None:
    assert version("trainingjobs")["selectableFields"] == [{"jsonPath": ".status.live"}, {"jsonPath": ".status.phase"}]


def test_columns() -> None:
    columns = version("trainingjobs")["additionalPrinterColumns"]
    plain = [column["name"].upper() for column in columns if "priority" not in column]
    wide = [column["name"].upper() for column in columns if column.get("priority") == 1]
    assert plain == ["PHASE", "RUNNING", "WHERE", "WHY", "RESTARTS", "AGE"]
    assert wide == ["ATTEMPT", "QUEUE", "MESSAGE", "LAST FAILURE"]


@pytest.mark.parametrize(
    ("plural", "scope", "short"), [("trainingjobs", "Namespaced", "tj"), ("clustertopologies", "Cluster", "ctopo")]
)
def test_names(plural: str, scope: str, short: str) -> None:
    spec = crd(plural)["spec"]
    assert (spec["scope"], spec["names"]["shortNames"]) == (scope, [short])
    assert spec["names"]["categories"] == ["all", "muster"]


def test_priority_classes_never_preempt() -> None:
    classes = documents()["priorityclasses.yaml"]
    assert {found["metadata"]["name"]: found["value"] for found in classes} == {
        "muster-default": 0,
        "muster-high": 1000,
    }
    assert {found["preemptionPolicy"] for found in classes} == {"Never"}


def test_every_pod_field_is_allowed_or_refused() -> None:
    assert ALLOWED.isdisjoint(REFUSED)
    assert pod_spec_fields() == ALLOWED | REFUSED.keys()


def test_reserved_fields_stand_in_the_schema_without_default() -> None:
    found = dict(nodes(SCHEMAS[0]))
    for path, field in RESERVED:
        node = found[f".{path.replace('[*]', '[]')}.{field}"]
        assert "default" not in node
        assert node["description"].startswith("Reserved: ")


def test_messages_are_short_and_on_one_line() -> None:
    # The API server refuses a message that has a line break.
    for rule in (*job_rules(), *TOPOLOGY_RULES):
        assert 0 < len(rule.message) <= 300
        assert "\n" not in rule.message


def test_other_scheduler_is_printed_into_the_rule() -> None:
    text = render("second-scheduler")["trainingjobs.yaml"]
    assert "schedulerName must be second-scheduler" in text
    assert "default-scheduler" not in text
