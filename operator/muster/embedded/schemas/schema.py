"""Custom kinds by their CustomResourceDefinition: what is written is pruned, filled, split and judged.

The order and the words are those of apiextensions-apiserver, so that a manifest that is refused here is refused there,
with the same sentence.
"""

from __future__ import annotations

from collections import OrderedDict

from muster.embedded.jsonpath import Unsupported, parse
from muster.embedded.kinds import CRDS, Kind
from muster.embedded.schemas import fielderrors as errors
from muster.embedded.schemas.celrules import broken
from muster.embedded.schemas.shaping import drop_nulls, fill, prune
from muster.embedded.schemas.structural import Node, Refused, compile_schema
from muster.embedded.schemas.validation import NOTHING, duplicates, same, validate
from muster.embedded.wire import Cause, Object, StatusError, bad_request, invalid

KEPT = 64
"""Compiled schemas that are kept; more than there are custom kinds in any cluster of ours."""
_compiled: OrderedDict[int, tuple[Object, Node]] = OrderedDict()


def compiled(kind: Kind) -> Node:
    """The compiled schema of a custom kind. Raises StatusError (422, of the definition) for what is not supported."""
    crd = kind.crd
    if crd is None:
        raise ValueError(f"{kind.qualified} is built in")
    held = _compiled.get(id(crd))
    if held is not None and held[0] is crd:
        _compiled.move_to_end(id(crd))
        return held[1]
    name = str(crd.get("metadata", {}).get("name", ""))
    schema = kind.schema
    if schema is None:
        raise invalid("CustomResourceDefinition", CRDS, name, [errors.required("spec.versions[0].schema")])
    try:
        node = compile_schema(schema)
    except Refused as error:
        raise invalid("CustomResourceDefinition", CRDS, name, [error.cause]) from error
    _compiled[id(crd)] = (crd, node)
    while len(_compiled) > KEPT:
        _compiled.popitem(last=False)
    return node


def check(kind: Kind) -> None:
    """Refuse what this server cannot do for a custom kind, before it is served. Raises StatusError (422)."""
    compiled(kind)
    crd = kind.crd or {}
    version = next(v for v in crd["spec"]["versions"] if v["name"] == kind.version)
    causes = []
    for listed in ("additionalPrinterColumns", "selectableFields"):
        for index, each in enumerate(version.get(listed) or ()):
            try:
                parse(each.get("jsonPath", ""))
            except Unsupported as error:
                path = f"spec.versions[0].{listed}[{index}].jsonPath"
                causes.append(errors.invalid(path, each.get("jsonPath", ""), str(error)))
    if causes:
        raise invalid("CustomResourceDefinition", CRDS, str(crd.get("metadata", {}).get("name", "")), causes)


def admit(
    kind: Kind, new: Object, old: Object | None, *, subresource: str = "", strict: str = "Warn", patch: bool = False
) -> tuple[Object, list[str]]:
    """Return what is to be stored of a written custom object, and warnings.

    new -- the object as it was sent, or as a patch made it; changed in place.
    old -- what is stored, None for a create; not changed.
    subresource -- `status`, or empty: a write to one side leaves the other as it was.
    strict -- fieldValidation: Strict refuses unknown fields, Ignore drops them in silence, Warn (and empty) tells.
    patch -- whether `new` came by a patch, of which the server speaks in other words.
    `metadata.generation` is set; the rest of the metadata is the caller's. Raises StatusError: 400 for unknown fields
    under Strict, 422 for what the schema or its rules refuse.
    """
    node = compiled(kind)
    warnings: list[str] = []
    # The refusal of a patch shows what the patch made, which pruning is about to change.
    made = errors.as_json(new) if patch and strict == "Strict" else ""
    unknown = prune(node, new)
    if unknown and strict != "Ignore":
        words = [f'unknown field "{path}"' for path in unknown]
        if strict == "Strict":
            raise _strict(kind, words, made)
        warnings = words
    drop_nulls(node, new)
    fill(node, new)
    if subresource == "status" and old is not None:
        new = _status_of(new, old)
    else:
        _split(kind, new, old)
    causes = _faults(node, new, old, subresource)
    if causes:
        name = str(new.get("metadata", {}).get("name", ""))
        raise invalid(kind.kind, kind.group, name, causes)
    # A status that was taken away comes back as its default, which is set whenever an object is read.
    fill(node, new)
    return new, warnings


def _strict(kind: Kind, words: list[str], made: str) -> StatusError:
    """The refusal of unknown fields; `made` is the object that a patch made, empty where it was sent as a whole."""
    said = f"strict decoding error: {', '.join(words)}"
    if made:
        return invalid("", "", "", [errors.invalid("patch", made, said)])
    where = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
    return bad_request(f"{where}: {said}")


def _status_of(new: Object, old: Object) -> Object:
    """The stored object with another status; nothing else can change there."""
    out = dict(old)
    metadata = dict(old.get("metadata") or {})
    managed = (new.get("metadata") or {}).get("managedFields")
    if managed is not None:
        metadata["managedFields"] = managed
    out["metadata"] = metadata
    out.pop("status", None)
    if "status" in new:
        out["status"] = new["status"]
    return out


def _split(kind: Kind, new: Object, old: Object | None) -> None:
    """Keep the status out of a write to the object, and count the generation."""
    metadata = new.setdefault("metadata", {})
    if old is None:
        if kind.status:
            new.pop("status", None)
        metadata["generation"] = 1
        return
    if kind.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    before = int(old.get("metadata", {}).get("generation") or 1)
    metadata["generation"] = before if same(_content(new), _content(old)) else before + 1


def _content(value: Object) -> Object:
    return {name: part for name, part in value.items() if name != "metadata"}


def _faults(node: Node, new: Object, old: Object | None, subresource: str) -> list[Cause]:
    if old is None:
        causes = [*validate(node, new), *duplicates(node, new)]
    else:
        if subresource == "status":
            below = node.properties.get("status")
            was = old.get("status", NOTHING)
            causes = validate(below, new["status"], was, "status") if below is not None and "status" in new else []
        else:
            causes = validate(node, new, old)
        found = [*duplicates(node, new)]
        if found and not [*duplicates(node, old)]:
            causes += found
    if any(cause.reason in errors.BLOCKING for cause in causes):
        return [*causes, errors.UNCHECKED]
    return [*causes, *broken(node, new, NOTHING if old is None else old)]
