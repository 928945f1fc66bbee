"""The rules of the API at the real API server: what the Python checks say of the table of examples, it says too."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.examples import CHANGES, EXAMPLES, job, role

from e2e.client import Answer, Client, Object, group, muster
from e2e.controlplane.cluster import ControlPlane

CRDS = ("clustertopologies", "trainingjobs")
STRICT: dict[str, Any] = {"dryRun": "All", "fieldValidation": "Strict"}


def said(answer: Answer) -> str:
    """Return the server's words."""
    return str(json.loads(answer.body).get("message", ""))


@pytest.mark.parametrize("plural", CRDS)
def test_the_crd_is_accepted(controlplane: ControlPlane, plural: str) -> None:
    path = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name=f"{plural}.muster.dev")
    found = {each["type"]: each["status"] for each in controlplane.client.get(path)["status"]["conditions"]}
    assert found.get("Established") == "True"
    assert found.get("NamesAccepted") == "True"
    assert found.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(("manifest", "message"), [pytest.param(m, text, id=name) for name, m, text in EXAMPLES])
def test_example(controlplane: ControlPlane, manifest: Object, message: str | None) -> None:
    path = muster("trainingjobs", "default") if manifest["kind"] == "TrainingJob" else muster("clustertopologies")
    answer = controlplane.client.send("POST", path, manifest, **STRICT)
    if message is None:
        assert answer.status == 201, said(answer)
    else:
        assert answer.status in (400, 422), said(answer)
        assert message in said(answer)


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
        path = muster("trainingjobs", "default")
        if name not in self._made:
            self._client.post(path, body, fieldValidation="Strict")
            self._made.add(name)
        status = {"status": {"phase": phase}}
        return self._client.patch(muster("trainingjobs", "default", name, "status"), status)

    def change(self, stored: Object, changed: Object) -> Answer:
        """Put another spec over the stored object, as a dry run."""
        body: dict[str, Any] = stored | {"spec": changed["spec"]}
        path = muster("trainingjobs", "default", stored["metadata"]["name"])
        return self._client.send("PUT", path, body, **STRICT)

    def clear(self) -> None:
        for name in self._made:
            self._client.send("DELETE", muster("trainingjobs", "default", name))


@pytest.fixture(scope="module")
def stored(controlplane: ControlPlane) -> Iterator[Stored]:
    made = Stored(controlplane.client)
    yield made
    made.clear()


@pytest.mark.parametrize(
    ("manifest", "phase", "changed", "message"), [pytest.param(*rest, id=name) for name, *rest in CHANGES]
)
def test_change(stored: Stored, manifest: Object, phase: str, changed: Object, message: str | None) -> None:
    answer = stored.change(stored.in_phase(manifest, phase), changed)
    if message is None:
        assert answer.status == 200, said(answer)
    else:
        assert answer.status == 422, said(answer)
        assert message in said(answer)


def test_a_key_swapped_for_another_is_a_change(stored: Stored) -> None:
    """Under preserve-unknown-fields the server's CEL would miss it."""
    manifest = job(role(pod={"hostIPC": True}), name="swapped")
    changed = job(role(pod={"hostNetwork": True}), name="swapped")
    answer = stored.change(stored.in_phase(manifest, "Placed"), changed)
    assert answer.status == 422
    assert "spec.roles can change only while the job is Pending or Suspended" in said(answer)
