"""From a manifest to a model, or to the list of what is wrong with it: what the API server would say, without one."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from muster.api.base import API_VERSION, Schema
from muster.api.clustertopology import ClusterTopology
from muster.api.job_rules import job_rules
from muster.api.rules import Rule, broken
from muster.api.schema import structural
from muster.api.structural import FieldError, check, fill
from muster.api.template_rules import DEFAULT_SCHEDULER
from muster.api.topology_rules import TOPOLOGY_RULES
from muster.api.trainingjob import TrainingJob

MAX_SPEC_BYTES = 256 * 1024
# What the API server appends to generateName; stands for it, so that lengths are judged rightly.
GENERATED = "xxxxx"

M = TypeVar("M", bound=BaseModel)
_schema = functools.cache(structural)
_rules = functools.cache(job_rules)


def parse_job(
    manifest: Mapping[str, Any], *, admitted: bool = False, scheduler_name: str = DEFAULT_SCHEDULER
) -> TrainingJob | list[FieldError]:
    """Return the TrainingJob with its defaults, or what the API server would refuse it for. Never raises.

    `admitted` says that the manifest comes from the API server, which has judged it: only the shape of muster's own
    fields is then checked. `scheduler_name` is the one scheduler that a template may name.
    """
    return _parse(TrainingJob, manifest, _rules(scheduler_name), admitted)


def parse_topology(manifest: Mapping[str, Any], *, admitted: bool = False) -> ClusterTopology | list[FieldError]:
    """Return the ClusterTopology with its defaults, or what the API server would refuse it for. Never raises."""
    return _parse(ClusterTopology, manifest, TOPOLOGY_RULES, admitted)


def check_job_update(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldError]:
    """Return what forbids the change from `old` to `new`, two valid TrainingJobs; the status of `old` decides."""
    schema = _schema(TrainingJob)
    return broken(_rules(), fill(schema, new), fill(schema, old))


def _parse(model: type[M], manifest: Mapping[str, Any], rules: Iterable[Rule], admitted: bool) -> M | list[FieldError]:
    if not isinstance(manifest, Mapping):
        return [FieldError("", f"a {model.__name__} is a mapping, not {type(manifest).__name__}")]
    value: Any = dict(manifest)
    if not admitted:
        schema = _schema(model)
        value = _named(value)
        errors = _identity(model.__name__, value)
        if not errors:
            value = fill(schema, value)
            errors = list(check(_without_metadata(schema), value)) or broken(rules, value) or _size(value)
        if errors:
            return errors
    try:
        return model.model_validate(value)
    except ValidationError as failure:
        return [FieldError(_path(error["loc"]), error["msg"]) for error in failure.errors(include_url=False)]


def _named(manifest: dict[str, Any]) -> dict[str, Any]:
    """Give an object that asks for a generated name the longest that it may get."""
    metadata = manifest.get("metadata")
    if isinstance(metadata, Mapping) and not metadata.get("name") and isinstance(metadata.get("generateName"), str):
        return {**manifest, "metadata": {**metadata, "name": metadata["generateName"] + GENERATED}}
    return manifest


def _identity(kind: str, manifest: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    if manifest.get("apiVersion") != API_VERSION:
        errors.append(FieldError("apiVersion", f"must be {API_VERSION}"))
    if manifest.get("kind") != kind:
        errors.append(FieldError("kind", f"must be {kind}"))
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        errors.append(FieldError("metadata.name", "Required value: name or generateName is required"))
    return errors


def _without_metadata(schema: Schema) -> Schema:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {**schema, "properties": {**schema["properties"], "metadata": anything}}


def _size(value: Mapping[str, Any]) -> list[FieldError]:
    size = len(json.dumps(value["spec"], separators=(",", ":"), ensure_ascii=False).encode())
    if size <= MAX_SPEC_BYTES:
        return []
    return [
        FieldError(
            "spec",
            f"has {size} bytes, more than {MAX_SPEC_BYTES}: move scripts and data into a ConfigMap or the image.",
        )
    ]


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).strip(".")
