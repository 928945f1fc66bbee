"""A structural schema, compiled once: `Node`s that hold what validation looks up, and the rules of each place.

What a CustomResourceDefinition asks for and is not done here is refused when it is compiled, with the field that asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from muster.embedded.schemas.cel import Expression, Mask, Unsupported, needed
from muster.embedded.wire import Cause, Object

META_FIELDS = ("apiVersion", "kind", "metadata")
KNOWN = frozenset(
    (
        "type", "nullable", "format", "title", "description",
        "default", "example", "externalDocs", "properties", "additionalProperties",
        "items", "required", "enum", "pattern", "minLength",
        "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties",
        "anyOf", "oneOf", "allOf", "not", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type", "x-kubernetes-validations",
    )
)  # fmt: skip
FORMATS = frozenset(["int32", "int64", "float", "double", "date-time", "password"])
RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_IDENTIFIER = re.compile(r"[A-Za-z_][\w./-]*")
_FIELD_PATH = re.compile(r"\.([A-Za-z_][-\w]*)|\['([^']*)'\]")


class Refused(ValueError):  # noqa: N818 -- a refusal with a reason, raised to be shown
    """A schema that cannot be served here."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.cause = Cause(path, f"Invalid value: {why}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One of x-kubernetes-validations."""

    expression: Expression
    message: str
    words: Expression | None
    """messageExpression."""
    path: str
    """fieldPath, normalised: `spec.roles`."""
    reason: str
    optional_old: bool


@dataclass(slots=True)
class Node:
    """A place in a schema. Absent bounds are None; `deep_rules` and `deep_lists` say whether there is any below."""

    types: tuple[str, ...] = ()
    nullable: bool = False
    format: str = ""
    has_default: bool = False
    default: Any = None
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    closed: bool = False
    """additionalProperties: false."""
    items: Node | None = None
    required: tuple[str, ...] = ()
    enum: tuple[Any, ...] | None = None
    pattern: re.Pattern[str] | None = None
    pattern_text: str = ""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    all_of: tuple[Node, ...] = ()
    none_of: Node | None = None
    preserve: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    rules: tuple[Rule, ...] = ()
    masks: Mapping[str, Mask | None] = field(default_factory=dict)
    """Per variable, the fields that the rules name."""
    deep_rules: bool = False
    deep_transitions: bool = False
    deep_lists: bool = False
    translated: bool = False
    """Values below differ between JSON and CEL: names that need an escape, numbers that are written as integers."""

    def below(self, name: str) -> Node | None:
        """The node of a field."""
        return self.properties.get(name, self.additional)

    def inner(self) -> Iterator[Node]:
        """Every node directly below, the alternatives' included."""
        yield from self.properties.values()
        for each in (self.additional, self.items, self.none_of):
            if each is not None:
                yield each
        yield from (*self.any_of, *self.one_of, *self.all_of)


def compile_schema(schema: Object, path: str = "spec.versions[0].schema.openAPIV3Schema") -> Node:
    """Compile a schema. Raises Refused, which names the field, for what is not supported."""
    unknown = sorted(set(schema) - KNOWN)
    if unknown:
        raise Refused(f"{path}.{unknown[0]}", "the embedded server does not validate this")
    either = bool(schema.get("x-kubernetes-int-or-string"))
    kind = schema.get("type")
    fmt = schema.get("format", "")
    if fmt and fmt not in FORMATS:
        raise Refused(f"{path}.format", f"the embedded server does not validate the format {fmt!r}")
    node = Node(
        types=("integer", "string") if either else (kind,) if kind else (),
        nullable=bool(schema.get("nullable")),
        format=fmt,
        has_default="default" in schema,
        default=schema.get("default"),
        required=tuple(schema.get("required") or ()),
        enum=tuple(schema["enum"]) if schema.get("enum") else None,
        preserve=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        list_type=schema.get("x-kubernetes-list-type", ""),
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        atomic_map=schema.get("x-kubernetes-map-type") == "atomic",
        bounds={name: schema[name] for name in _BOUNDS if name in schema},
    )
    for name, part in (schema.get("properties") or {}).items():
        node.properties[name] = compile_schema(part, f"{path}.properties[{name}]")
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        node.additional = compile_schema(rest, f"{path}.additionalProperties")
    elif rest is False:
        node.closed = True
    elif rest:
        node.additional = Node(preserve=True)
    if "items" in schema:
        node.items = compile_schema(schema["items"], f"{path}.items")
    if schema.get("pattern"):
        node.pattern_text = schema["pattern"]
        node.pattern = _pattern(schema["pattern"], f"{path}.pattern")
    for name, parts in (("anyOf", schema.get("anyOf")), ("oneOf", schema.get("oneOf")), ("allOf", schema.get("allOf"))):
        nodes = tuple(compile_schema(part, f"{path}.{name}[{i}]") for i, part in enumerate(parts or ()))
        if any(each.deep_rules for each in nodes):
            raise Refused(f"{path}.{name}", "the embedded server does not evaluate rules within alternatives")
        setattr(node, {"anyOf": "any_of", "oneOf": "one_of", "allOf": "all_of"}[name], nodes)
    if "not" in schema:
        node.none_of = compile_schema(schema["not"], f"{path}.not")
    _rules(node, schema, path)
    _sum_up(node)
    return node


_BOUNDS = (
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)


def _pattern(text: str, path: str) -> re.Pattern[str]:
    """Compile a pattern of Go: there `$` is the end of the text, in Python also before a final newline."""
    if "[[:" in text or r"\p" in text or r"\Q" in text:
        raise Refused(path, f"the embedded server does not understand the pattern {text!r}")
    out, inside, escaped = [], False, False
    for char in text:
        if not escaped and not inside and char == "$":
            out.append(r"\Z")
        elif escaped and char == "z":
            out.append("Z")
        else:
            out.append(char)
        if not escaped:
            inside = char == "[" or (inside and char != "]")
        escaped = char == "\\" and not escaped
    try:
        return re.compile("".join(out), re.ASCII)
    except re.error as error:
        raise Refused(path, f"must be a valid regular expression: {error}") from error


def _rules(node: Node, schema: Object, path: str) -> None:
    rules = []
    for index, each in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{index}]"
        try:
            expression = Expression(each["rule"])
        except Unsupported as error:
            raise Refused(f"{where}.rule", str(error)) from error
        try:
            words = Expression(each["messageExpression"]) if each.get("messageExpression") else None
        except Unsupported as error:
            raise Refused(f"{where}.messageExpression", str(error)) from error
        for name in _typed_fields(node):
            if re.search(rf"\.{re.escape(name)}\b(?!\()", each["rule"]):
                why = f"the embedded server does not evaluate rules on {name}, whose format CEL has a type for"
                raise Refused(f"{where}.rule", why)
        said = (each.get("message") or "").strip()
        rules.append(
            Rule(
                expression,
                said or f"failed rule: {each['rule'].strip()}",
                words,
                _field_path(node, each.get("fieldPath") or "", f"{where}.fieldPath"),
                each.get("reason") or "FieldValueInvalid",
                bool(each.get("optionalOldSelf")),
            )
        )
        if rules[-1].optional_old:
            raise Refused(f"{where}.optionalOldSelf", "the embedded server does not have optional values")
    node.rules = tuple(rules)
    texts = [text for rule in rules for text in (rule.expression, rule.words) if text is not None]
    node.masks = needed(text.source for text in texts)


def _typed_fields(node: Node) -> set[str]:
    """Names below whose values are times in CEL and text in JSON."""
    found: set[str] = set()
    for name, part in node.properties.items():
        if part.format == "date-time":
            found.add(name)
    for each in node.inner():
        found |= _typed_fields(each)
    return found


def _field_path(node: Node, text: str, path: str) -> str:
    """A fieldPath as errors have it: fields after a dot, the keys of a map in brackets."""
    out, position = "", 0
    at: Node | None = node
    while position < len(text):
        found = _FIELD_PATH.match(text, position)
        if found is None:
            raise Refused(path, f"the embedded server does not understand the path {text!r}")
        name = found[1] or found[2]
        if at is None or at.below(name) is None:
            raise Refused(path, f"there is no field {name!r}")
        out += (f".{name}" if out else name) if name in at.properties else f"[{name}]"
        at = at.below(name)
        position = found.end()
    return out


def _sum_up(node: Node) -> None:
    inner = tuple(node.inner())
    node.deep_rules = bool(node.rules) or any(each.deep_rules for each in inner)
    own = any(rule.expression.uses_old for rule in node.rules)
    node.deep_transitions = own or any(each.deep_transitions for each in inner)
    node.deep_lists = node.list_type in ("set", "map") or any(each.deep_lists for each in inner)
    renamed = any(escaped(name) != name for name in node.properties)
    node.translated = renamed or "number" in node.types or any(each.translated for each in inner)


def escaped(name: str) -> str | None:
    """A property's name as CEL has it; None where CEL cannot name it."""
    if not _IDENTIFIER.fullmatch(name):
        return None
    if name in RESERVED:
        return f"__{name}__"
    for raw, replacement in _ESCAPES:
        name = name.replace(raw, replacement) if raw != "__" else re.sub("__", replacement, name)
    return name


def for_cel(node: Node | None, value: Any) -> Any:
    """A value as CEL sees it; shared with the original where the two are the same."""
    if node is None or not node.translated:
        return value
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        out: dict[str, Any] = {}
        for name, item in held.items():
            known = node.properties.get(name)
            shown = name if known is None else escaped(name)
            if shown is not None:
                out[shown] = for_cel(known if known is not None else node.additional, item)
        return out
    if isinstance(value, list):
        return [for_cel(node.items, item) for item in value]
    if node.types == ("number",) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
