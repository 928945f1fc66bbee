"""From pydantic to the structural schemas that a CustomResourceDefinition takes.

References are inlined, `X | None` becomes an optional X without default (an absent field and null mean the same to the
API server), and whatever JSON Schema has beyond structural schemas is dropped.
"""

import copy
import functools
from typing import Any

from pydantic import BaseModel

from muster.api.base import Schema

INT32 = 2_147_483_647
_DROPPED = {"title", "$defs", "propertyNames", "discriminator"}


@functools.cache
def _structural(model: type[BaseModel]) -> Schema:
    raw = model.model_json_schema(by_alias=True)
    out = _convert(raw, raw.get("$defs", {}))
    properties = out["properties"]
    properties["apiVersion"] = {"type": "string", "description": "Version of the schema of this object."}
    properties["kind"] = {"type": "string", "description": "Kind of this object."}
    # The API server owns metadata; the bound on the name lets CEL rules that read it pass the cost check.
    properties["metadata"] = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}
    # The operator compares the status it sent with the one it reads back, so the API server adds nothing to it.
    for name, part in properties["status"]["properties"].items():
        if name not in properties["status"]["default"]:
            _drop_defaults(part)
    _bare_items(properties["spec"])
    return out


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a custom resource's model, without its rules."""
    return copy.deepcopy(_structural(model))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _drop_defaults(schema: Schema) -> None:
    schema.pop("default", None)
    for part in (*schema.get("properties", {}).values(), *(schema[key] for key in ("items",) if key in schema)):
        _drop_defaults(part)


def _bare_items(schema: Schema) -> None:
    """Let the API server add nothing to entries of lists. Argo CD and `kubectl apply` compare the lists of a custom
    resource as a whole, so one default within an entry would be drift for ever."""
    for part in schema.get("properties", {}).values():
        _bare_items(part)
    if "items" in schema:
        _drop_defaults(schema["items"])


def _convert(node: Schema, definitions: Schema) -> Schema:
    merged = dict(node)
    if "$ref" in merged:
        target = definitions[merged.pop("$ref").rsplit("/", 1)[-1]]
        return _convert({**target, **merged}, definitions)
    options = merged.get("anyOf", ())
    if {"type": "null"} in options:
        (kept,) = (option for option in options if option != {"type": "null"})
        del merged["anyOf"]
        return _convert({**kept, **merged}, definitions)

    out = {key: value for key, value in merged.items() if key not in _DROPPED}
    if out.get("default", 0) is None:
        del out["default"]
    elif "default" in out:
        out["default"] = _without_none(out["default"])
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if "properties" in out:
        out["properties"] = {name: _convert(part, definitions) for name, part in out["properties"].items()}
    if "items" in out:
        out["items"] = _convert(out["items"], definitions)
    rest = out.pop("additionalProperties", False)
    # Structural schemas take no pattern for keys. pydantic still holds a manifest's keys to theirs.
    for part in out.pop("patternProperties", {}).values():
        rest = part
    if rest is True:
        out["x-kubernetes-preserve-unknown-fields"] = True
    elif rest:
        out["additionalProperties"] = _convert(rest, definitions)
    if out.get("type") == "integer" and "format" not in out:
        out["format"] = "int32" if out.get("maximum", INT32 + 1) <= INT32 else "int64"
    return out
