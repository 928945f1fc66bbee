"""Our kinds as their CRDs say: defaults, pruning, validation and the sentences of the rules.

The examples are those of `tests/api/examples.py`, which are put to the Python models too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from e2e.client import Answer, Client, Object, muster, wait_for
from tests.api.examples import CHANGES, EXAMPLES
from tests.api.examples import job as example
from tests.api.examples import role as example_role
from tests.conformance.kit import CRDS, DRY, STRICT, causes, job, jobs, patch, refused, taken

TOPOLOGIES = muster("clustertopologies")


@pytest.mark.parametrize("plural", ["clustertopologies", "trainingjobs"])
def test_the_crd_is_accepted(api: Client, plural: str) -> None:
    found = {c["type"]: c["status"] for c in api.get(f"{CRDS}/{plural}.muster.dev")["status"]["conditions"]}
    assert found.get("Established") == "True"
    assert found.get("NamesAccepted") == "True"
    assert found.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(("manifest", "message"), [pytest.param(m, text, id=name) for name, m, text in EXAMPLES])
def test_example(api: Client, manifest: Object, message: str | None) -> None:
    path = jobs("default") if manifest["kind"] == "TrainingJob" else TOPOLOGIES
    answer = api.send("POST", path, manifest, **DRY, **STRICT)
    if message is None:
        assert answer.status == 201, answer.body
    else:
        assert answer.status in (400, 422), answer.body
        assert message in answer.json()["message"]


class Stored:
    """Jobs that exist, each made once; a test sets the phase that it needs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: set[str] = set()

    def in_phase(self, manifest: Object, phase: str) -> Object:
        """Return the stored object of this manifest in this phase."""
        body = copy.deepcopy(manifest)
        # One object a manifest: the table gives two the same name.
        name = body["metadata"]["name"]
        if name not in self._made:
            self._client.post(jobs("default"), body, **STRICT)
            self._made.add(name)
        return self._client.patch(jobs("default", name, "status"), {"status": {"phase": phase}})

    def change(self, stored: Object, changed: Object) -> Answer:
        """Put another spec over the stored object, as a dry run."""
        body: dict[str, Any] = stored | {"spec": changed["spec"]}
        return self._client.send("PUT", jobs("default", stored["metadata"]["name"]), body, **DRY, **STRICT)

    def clear(self) -> None:
        for name in self._made:
            self._client.send("DELETE", jobs("default", name))


@pytest.fixture(scope="module")
def stored(api: Client) -> Iterator[Stored]:
    made = Stored(api)
    yield made
    made.clear()


@pytest.mark.parametrize(
    ("manifest", "phase", "changed", "message"), [pytest.param(*rest, id=name) for name, *rest in CHANGES]
)
def test_change(stored: Stored, manifest: Object, phase: str, changed: Object, message: str | None) -> None:
    answer = stored.change(stored.in_phase(manifest, phase), changed)
    if message is None:
        taken(answer)
    else:
        refused(answer, 422, "Invalid", message)


def test_a_key_swapped_for_another_is_a_change(stored: Stored) -> None:
    """Under preserve-unknown-fields the server's CEL would miss it."""
    manifest = example(example_role(pod={"hostIPC": True}), name="swapped")
    changed = example(example_role(pod={"hostNetwork": True}), name="swapped")
    answer = stored.change(stored.in_phase(manifest, "Placed"), changed)
    refused(answer, 422, "Invalid", "spec.roles can change only while the job is Pending or Suspended")


# --- defaults and pruning ---


def test_defaults_are_filled_in(api: Client, ns: str, name: str) -> None:
    spec = api.post(jobs(ns), job(name))["spec"]
    assert spec["suspend"] is False
    assert spec["launcher"] == "none"
    assert spec["priorityClassName"] == "muster-default"
    assert spec["backoff"] == {"baseSeconds": 5, "maxSeconds": 300}
    assert spec["successPolicy"] == {"when": "AllPods", "lingerSeconds": 300}
    assert spec["podRetention"] == {"failedAttempts": 2, "podsPerAttempt": 8}
    # No template is completed: that is for the pods.
    assert spec["roles"][0]["template"] == {"spec": {"containers": [{"name": "main", "image": "none"}]}}


def test_defaults_inside_what_is_given(api: Client, ns: str, name: str) -> None:
    spec = api.post(jobs(ns), job(name, backoff={"maxSeconds": 7}, podRetention=None))["spec"]
    assert spec["backoff"] == {"baseSeconds": 5, "maxSeconds": 7}
    assert spec["podRetention"] == {"failedAttempts": 2, "podsPerAttempt": 8}


def test_what_is_taken_out_gets_its_default_again(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name, launcher="torchrun"))
    assert api.patch(jobs(ns, name), {"spec": {"launcher": None}})["spec"]["launcher"] == "none"


def test_unknown_fields_are_pruned_with_a_warning(api: Client, ns: str, name: str) -> None:
    body = job(name, lancher="env")
    body["spec"]["roles"][0]["template"]["spec"]["nodeselector"] = {}
    answer = api.send("POST", jobs(ns), body)
    made = taken(answer, 201)
    assert "lancher" not in made["spec"]
    assert "nodeselector" not in made["spec"]["roles"][0]["template"]["spec"]
    assert '299 - "unknown field \\"spec.lancher\\""' in answer.headers["Warning"]
    assert 'unknown field \\"spec.roles[0].template.spec.nodeselector\\"' in answer.headers["Warning"]


def test_unknown_fields_are_refused_when_strict(api: Client, ns: str, name: str) -> None:
    words = 'strict decoding error: unknown field "spec.lancher", unknown field "spec.zeal"'
    answer = api.send("POST", jobs(ns), job(name, zeal=1, lancher="env"), **STRICT)
    refused(answer, 400, "BadRequest", words)


def test_unknown_fields_go_in_silence_when_ignored(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", jobs(ns), job(name, lancher="env"), fieldValidation="Ignore")
    assert "lancher" not in taken(answer, 201)["spec"]
    assert "Warning" not in answer.headers


def test_field_validation_knows_three_words(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", jobs(ns), job(name), fieldValidation="Some")
    words = 'fieldValidation: Unsupported value: "Some": supported values: "", "Ignore", "Strict", "Warn"'
    refused(answer, 422, "Invalid", words)


def test_a_field_twice_is_refused_when_strict(api: Client, ns: str, name: str) -> None:
    body = b'{"apiVersion":"muster.dev/v1alpha1","kind":"TrainingJob","metadata":{"name":"a"},"spec":{},"spec":{}}'
    refused(api.send("POST", jobs(ns), body, **STRICT), 400, "BadRequest", 'duplicate field "spec"')


def test_each_fault_is_a_cause(api: Client, ns: str, name: str) -> None:
    body = job(name, launcher="mpi", bindTimeoutSeconds=0)
    del body["spec"]["roles"][0]["template"]
    status = refused(api.send("POST", jobs(ns), body), 422, "Invalid", f'TrainingJob.muster.dev "{name}" is invalid: [')
    assert status["details"] | {"causes": None} == {
        "name": name,
        "group": "muster.dev",
        "kind": "TrainingJob",
        "causes": None,
    }
    assert {
        ("spec.launcher", "FieldValueNotSupported"),
        ("spec.bindTimeoutSeconds", "FieldValueInvalid"),
        ("spec.roles[0].template", "FieldValueRequired"),
    } <= set(causes(status))


def test_one_fault_stands_without_brackets(api: Client, ns: str, name: str) -> None:
    status = refused(
        api.send("POST", jobs(ns), job(name, backoff={"baseSeconds": 301})),
        422,
        "Invalid",
        f'TrainingJob.muster.dev "{name}" is invalid: spec.backoff.baseSeconds: Invalid value: ',
        "must not be more than maxSeconds",
    )
    assert causes(status) == [("spec.backoff.baseSeconds", "FieldValueInvalid")]


def test_rules_compare_with_what_was(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    api.patch(jobs(ns, name, "status"), {"status": {"phase": "Running"}})
    words = "spec.launcher can change only while the job is Pending or Suspended"
    status = refused(patch(api, jobs(ns, name), {"spec": {"launcher": "env"}}), 422, "Invalid", words)
    assert causes(status)[0][1] == "FieldValueInvalid"
    assert taken(patch(api, jobs(ns, name), {"spec": {"suspend": True}}))


def test_old_faults_do_not_hold_up_a_status(api: Client, ns: str, name: str) -> None:
    """What is stored and unchanged is not judged again."""
    made = api.post(jobs(ns), job(name))
    for phase in ("Placed", "Starting", "Running", "Stopping", "Pending"):
        made = api.patch(jobs(ns, name, "status"), {"status": {"phase": phase}})
    assert made["status"]["phase"] == "Pending"


def test_a_required_field_of_another_kind(api: Client) -> None:
    body = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    answer = api.send("POST", TOPOLOGIES, body | {"spec": {"levels": "x"}}, **DRY)
    status = refused(answer, 422, "Invalid", "spec.levels: Invalid value: ", "must be of type array")
    assert ("spec.levels", "FieldValueTypeInvalid") in causes(status)


# --- the kind itself ---


def definition(plural: str, kind: str, **schema: Any) -> Object:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": schema}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.muster.dev"},
        "spec": {
            "group": "test.muster.dev",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [version],
        },
    }


def test_a_kind_comes_and_goes(api: Client, ns: str) -> None:
    collection = f"/apis/test.muster.dev/v1/namespaces/{ns}/lanes"
    absent = api.send("GET", collection)
    assert (absent.status, absent.body) == (404, "404 page not found\n")
    assert absent.headers["Content-Type"].startswith("text/plain")
    spec = {"type": "object", "properties": {"a": {"type": "integer", "default": 3}}, "default": {}}
    api.post(CRDS, definition("lanes", "Lane", spec=spec))
    wait_for(lambda: api.send("GET", collection).status == 200, 20, "the kind is served")
    body = {"apiVersion": "test.muster.dev/v1", "kind": "Lane", "metadata": {"name": "x"}}
    assert api.post(collection, body)["spec"] == {"a": 3}
    refused(api.send("GET", f"{collection}/none"), 404, "NotFound", 'lanes.test.muster.dev "none" not found')

    api.delete(f"{CRDS}/lanes.test.muster.dev")
    wait_for(lambda: api.find(f"{CRDS}/lanes.test.muster.dev") is None, 20, "the definition is gone")
    wait_for(lambda: api.send("GET", collection).status == 404, 20, "the kind is no longer served")
    absent = api.send("GET", collection)
    assert absent.body == "404 page not found\n"
    # Its objects went with it.
    api.post(CRDS, definition("lanes", "Lane", spec=spec))
    wait_for(lambda: api.send("GET", collection).status == 200, 20, "the kind is served again")
    assert api.get(collection)["items"] == []
    api.delete(f"{CRDS}/lanes.test.muster.dev")


def test_a_changed_schema_is_in_force_soon(api: Client, ns: str) -> None:
    collection, path = f"/apis/test.muster.dev/v1/namespaces/{ns}/moods", f"{CRDS}/moods.test.muster.dev"
    api.post(CRDS, definition("moods", "Mood", spec={"type": "object", "properties": {"a": {"type": "integer"}}}))
    wait_for(lambda: api.send("GET", collection).status == 200, 20, "the kind is served")
    body = {"apiVersion": "test.muster.dev/v1", "kind": "Mood", "metadata": {"name": "x"}, "spec": {"a": 7}}
    assert api.post(collection, body, **DRY)["spec"] == {"a": 7}
    rule = {"rule": "self < 5", "message": "too much"}
    narrow = {"type": "object", "properties": {"a": {"type": "integer", "x-kubernetes-validations": [rule]}}}
    api.patch(path, {"spec": {"versions": definition("moods", "Mood", spec=narrow)["spec"]["versions"]}})
    wait_for(lambda: api.send("POST", collection, body, **DRY).status == 422, 20, "the rule is in force")
    refused(api.send("POST", collection, body, **DRY), 422, "Invalid", "spec.a: Invalid value: 7: too much")
    api.delete(path)


def test_a_kind_without_status_has_no_status(api: Client, ns: str) -> None:
    collection = f"/apis/test.muster.dev/v1/namespaces/{ns}/plains"
    api.post(CRDS, definition("plains", "Plain", status={"type": "object", "properties": {"a": {"type": "string"}}}))
    wait_for(lambda: api.send("GET", collection).status == 200, 20, "the kind is served")
    body = {"apiVersion": "test.muster.dev/v1", "kind": "Plain", "metadata": {"name": "x"}, "status": {"a": "b"}}
    assert api.post(collection, body)["status"] == {"a": "b"}
    answer = api.send("GET", f"{collection}/x/status")
    assert answer.status == 404
    api.delete(f"{CRDS}/plains.test.muster.dev")


def test_a_definition_must_bear_the_name_of_its_kind(api: Client) -> None:
    body = definition("lanes", "Lane")
    body["metadata"]["name"] = "other.test.muster.dev"
    refused(api.send("POST", CRDS, body), 422, "Invalid", 'must be spec.names.plural+"."+spec.group')
