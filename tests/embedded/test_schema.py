"""Custom kinds against what a real API server said of the same manifests, body for body (`record.py`)."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.examples import CHANGES, EXAMPLES
from tests.embedded.shapes import CRD, CREATES, START, STATUSES, UPDATES

from muster.embedded.kinds import Kind, custom
from muster.embedded.schemas.schema import admit, check
from muster.embedded.wire import StatusError

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
ANSWERS: dict[str, list[Any]] = json.loads((Path(__file__).parent / "answers.json").read_text())


def _kind(document: Object) -> Kind:
    kind = custom(document)
    check(kind)
    return kind


KINDS = {
    kind.kind: kind
    for kind in (
        _kind(CRD),
        *(
            _kind(yaml.safe_load((ROOT / f"crds/{name}.yaml").read_text()))
            for name in ("trainingjobs", "clustertopologies")
        ),
    )
}


def answer(code: int, new: Object, old: Object | None, **more: Any) -> list[Any]:
    """What the server would answer, as `record.py` writes it down."""
    try:
        made, warnings = admit(KINDS[new["kind"]], copy.deepcopy(new), old, **more)
    except StatusError as error:
        return [error.code, json.loads(json.dumps(error.body()))]
    said = ", ".join(f'299 - "{text}"'.replace('field "', 'field \\"').replace('""', '\\""') for text in warnings)
    return [code, made, *([said] if said else [])]


def compare(found: list[Any], wanted: list[Any]) -> None:
    assert found[0] == wanted[0], found[1]
    if wanted[0] >= 400:
        assert sorted_causes(found[1]) == sorted_causes(wanted[1])
    elif wanted[1] is not None:
        assert found[1] == wanted[1]
    assert found[2:] == wanted[2:]


def sorted_causes(body: Object) -> Object:
    """A Status whose causes are in order: of several a real server leaves the order to chance."""
    body = copy.deepcopy(body)
    causes = body.get("details", {}).get("causes", [])
    causes.sort(key=lambda each: (each["field"], each["message"]))
    if len(causes) > 1:
        head, _, rest = body["message"].partition(" is invalid: ")
        body["message"] = head, sorted(re.split(r", (?=[\w.\[\]<>-]+: )", rest.strip("[]")))
    return body


@pytest.mark.parametrize(("name", "manifest"), [pytest.param(n, m, id=n) for n, m, _ in EXAMPLES])
def test_example(name: str, manifest: Object) -> None:
    compare(answer(201, manifest, None, strict="Strict"), ANSWERS[name])


@pytest.mark.parametrize(("name", "manifest", "phase", "changed"), [pytest.param(*c[:4], id=c[0]) for c in CHANGES])
def test_change(name: str, manifest: Object, phase: str, changed: Object) -> None:
    old, _ = admit(KINDS[manifest["kind"]], copy.deepcopy(manifest), None)
    old["status"] = {"observedGeneration": -1, "phase": phase}
    compare(answer(200, copy.deepcopy(old) | {"spec": changed["spec"]}, old, strict="Strict"), ANSWERS[name])


@pytest.mark.parametrize(("name", "manifest"), [pytest.param(n, m, id=n) for n, m in CREATES])
def test_shape(name: str, manifest: Object) -> None:
    compare(answer(201, manifest, None), ANSWERS[f"shape, {name}"])


def test_unknown_fields_are_refused_when_strict() -> None:
    manifest = dict(CREATES)["unknown fields"]
    compare(answer(201, manifest, None, strict="Strict"), ANSWERS["shape, strict"])


def test_a_patch_that_sets_unknown_fields_is_refused_in_other_words() -> None:
    new = copy.deepcopy(START)
    new["spec"]["nope"] = 1
    found = answer(200, new, START, strict="Strict", patch=True)[1]
    wanted = ANSWERS["strict, merge"][1]
    assert found["message"].startswith(' "" is invalid: patch: Invalid value: "{')
    assert found["message"].rpartition('": ')[2] == wanted["message"].rpartition('": ')[2]
    assert (found["code"], found["reason"]) == (wanted["code"], wanted["reason"])


@pytest.fixture
def stored() -> Object:
    return admit(KINDS["Shape"], copy.deepcopy(START), None)[0]


@pytest.mark.parametrize(("name", "spec"), [pytest.param(n, s, id=n) for n, s in UPDATES])
def test_update(name: str, spec: Object, stored: Object) -> None:
    compare(answer(200, copy.deepcopy(stored) | {"spec": spec}, stored), ANSWERS[f"update, {name}"])


@pytest.mark.parametrize(("name", "status"), [pytest.param(n, s, id=n) for n, s in STATUSES])
def test_status(name: str, status: Any, stored: Object) -> None:
    new = copy.deepcopy(stored) | {"status": status}
    compare(answer(200, new, stored, subresource="status"), ANSWERS[f"status, {name}"])


def test_what_did_not_change_is_not_judged_again(stored: Object) -> None:
    """An object stays valid when its definition becomes stricter."""
    stored["spec"]["plain"] = [-1]
    new = copy.deepcopy(stored)
    new["spec"]["small"] = 7
    assert answer(200, new, stored)[0] == 200
    new["spec"]["plain"] = [-1, -1]
    assert answer(200, new, stored)[0] == 422


def test_a_write_to_the_object_leaves_the_status_and_counts_the_generation(stored: Object) -> None:
    stored["status"] = {"phase": "Done"}
    new = copy.deepcopy(stored) | {"status": {"phase": "Other"}}
    assert answer(200, copy.deepcopy(new), stored)[1] == stored
    new["spec"]["small"] = 2
    made = answer(200, new, stored)[1]
    assert (made["metadata"]["generation"], made["status"]) == (2, {"phase": "Done"})


def test_a_write_to_the_status_leaves_the_rest(stored: Object) -> None:
    new = copy.deepcopy(stored) | {"status": {"phase": "Done"}, "spec": {"fixed": "no"}}
    new["metadata"]["labels"] = {"a": "b"}
    assert answer(200, new, stored, subresource="status")[1] == stored | {"status": {"phase": "Done"}}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("x-kubernetes-validations",), [{"rule": "self.all(k, v, true)"}], "does not know all"),
        (("x-kubernetes-validations",), [{"rule": "self.x ==", "message": "m"}], "compilation failed"),
        (("x-kubernetes-validations",), [{"rule": "quantity(self.text).isGreaterThan(1)"}], "does not know"),
        (("x-kubernetes-validations",), [{"rule": "self.when > self.when"}], "does not evaluate rules on when"),
        (("x-kubernetes-validations",), [{"rule": "oldSelf.hasValue()", "optionalOldSelf": True}], "hasValue"),
        (("properties", "text", "format"), "uuid", "does not validate the format 'uuid'"),
        (("properties", "text", "pattern"), "[[:alpha:]]", "does not understand the pattern"),
        (("properties", "free", "x-kubernetes-embedded-resource"), True, "does not validate this"),
    ],
)
def test_what_is_not_supported_is_refused_aloud(path: tuple[str, ...], value: Any, message: str) -> None:
    crd = copy.deepcopy(CRD)
    node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(StatusError) as caught:
        check(custom(crd))
    assert caught.value.code == 422
    assert message in caught.value.message
    assert path[0] in caught.value.message


def test_a_column_that_is_not_understood_is_refused() -> None:
    crd = copy.deepcopy(CRD)
    crd["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = ".spec.parts[*].name"
    with pytest.raises(StatusError, match=r"additionalPrinterColumns\[0\]\.jsonPath"):
        check(custom(crd))
